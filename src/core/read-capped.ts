type Source = { body: ReadableStream<Uint8Array> | null };

/**
 * A body as text, or undefined when it has more than `maxBytes` bytes; it is read no further then.
 *
 * @param options.fatal whether bytes that are not UTF-8 are an error instead of U+FFFD.
 * @param options.cutTo give so many characters of a longer body's beginning, instead of undefined.
 * @throws when the body breaks off or its signal fires; a TypeError for bytes that are not UTF-8.
 */
export function readCapped(
  source: Source,
  maxBytes: number,
  options: { fatal?: boolean; cutTo: number },
): Promise<string>;
export function readCapped(
  source: Source,
  maxBytes: number,
  options?: { fatal?: boolean },
): Promise<string | undefined>;
export async function readCapped(
  source: Source,
  maxBytes: number,
  options: { fatal?: boolean; cutTo?: number } = {},
): Promise<string | undefined> {
  if (source.body === null) return "";
  const reader = source.body.getReader();
  const fatal = options.fatal ?? false;
  const decoder = new TextDecoder("utf-8", { fatal, ignoreBOM: false });
  let text = "";
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    bytes += value.byteLength;
    if (bytes > maxBytes) {
      await reader.cancel();
      return options.cutTo === undefined ? undefined : text.slice(0, options.cutTo);
    }
    text += decoder.decode(value, { stream: true });
  }
}
