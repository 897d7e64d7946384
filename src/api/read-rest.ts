/**
 * Bytes that are read for nothing at most. Cloudflare passes no longer request on than 500 MB (100 MB
 * on the Free and Pro plans), so there it cuts nothing; elsewhere no body may go on for ever.
 */
const MAX_REST_BYTES = 512 * 1024 * 1024;
/** A client that is silent for so long waits for its answer before it sends on, or is gone. */
const SILENCE_MS = 10_000;

/** Reads a body to its end, to `maxBytes` more of it, or until nothing comes for `silenceMs`. */
export async function readRest(
  body: ReadableStream<Uint8Array>,
  { maxBytes = MAX_REST_BYTES, silenceMs = SILENCE_MS } = {},
): Promise<void> {
  // Somebody reads it, or failed to let go of it.
  if (body.locked) return;
  const reader = body.getReader();
  let bytes = 0;
  try {
    for (;;) {
      const read = await within(reader.read(), silenceMs);
      if (read === undefined || read.done) return;
      bytes += read.value.byteLength;
      if (bytes <= maxBytes) continue;
      await reader.cancel();
      return;
    }
  } catch {
    // It broke off: nobody is there to hear the answer.
  }
}

/** What a promise comes to, or undefined when that takes longer. */
export async function within<T>(promise: Promise<T>, ms = SILENCE_MS): Promise<T | undefined> {
  const late = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => late.resolve(undefined), ms);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
