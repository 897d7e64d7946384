/**
 * A body as text, or undefined when it has more than `maxBytes` bytes; it is read no further then.
 *
 * @param options.fatal whether bytes that are not UTF-8 are an error instead of U+FFFD.
 * @throws when the body breaks off or its signal fires; a TypeError for bytes that are not UTF-8.
 */
export async function readCapped(
  source: { body: ReadableStream<Uint8Array> | null },
  maxBytes: number,
  options: { fatal: boolean } = { fatal: false },
): Promise<string | undefined> {
  if (source.body === null) return "";
  const reader = source.body.getReader();
  const decoder = new TextDecoder("utf-8", { fatal: options.fatal, ignoreBOM: false });
  let text = "";
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    bytes += value.byteLength;
    if (bytes > maxBytes) {
      await reader.cancel();
      return undefined;
    }
    text += decoder.decode(value, { stream: true });
  }
}
