type Source = { body: ReadableStream<Uint8Array> | null };

/** How a body is read. */
interface Reading {
  /** Whether bytes that are not UTF-8 are an error instead of U+FFFD. */
  fatal?: boolean;
  /** Told of each part's bytes; what it returns is waited for before reading on. */
  onPart?: (bytes: number) => Promise<void> | undefined;
  /** Whether what is not read is left for somebody else to read, instead of being cancelled. */
  leaveRest?: boolean;
}

/**
 * A body as text, or undefined when it has more than `maxBytes` bytes; it is read no further then.
 *
 * @param options.cutTo give so many characters of a longer body's beginning, instead of undefined.
 * @throws when the body breaks off or its signal fires; a TypeError for bytes that are not UTF-8.
 */
export function readCapped(
  source: Source,
  maxBytes: number,
  options: Reading & { cutTo: number },
): Promise<string>;
export function readCapped(
  source: Source,
  maxBytes: number,
  options?: Reading,
): Promise<string | undefined>;
export async function readCapped(
  source: Source,
  maxBytes: number,
  options: Reading & { cutTo?: number } = {},
): Promise<string | undefined> {
  if (source.body === null) return "";
  const { fatal = false, onPart, cutTo, leaveRest = false } = options;
  const reader = source.body.getReader();
  const decoder = new TextDecoder("utf-8", { fatal, ignoreBOM: false });
  let text = "";
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return text + decoder.decode();
      bytes += value.byteLength;
      if (bytes > maxBytes) {
        if (!leaveRest) await reader.cancel();
        if (cutTo === undefined) return undefined;
        return (text + decoder.decode(value, { stream: true })).slice(0, cutTo);
      }
      text += decoder.decode(value, { stream: true });
      const wait = onPart?.(value.byteLength);
      if (wait !== undefined) await wait;
    }
  } finally {
    if (leaveRest) reader.releaseLock();
  }
}
