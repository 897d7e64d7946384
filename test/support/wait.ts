/** Waits for a condition. @throws after `timeoutMs`, with what was last seen. */
export async function until<T>(
  see: () => Promise<T> | T,
  good: (seen: T) => boolean,
  timeoutMs = 30_000,
): Promise<T> {
  const endMs = Date.now() + timeoutMs;
  for (;;) {
    const seen = await see();
    if (good(seen)) return seen;
    if (Date.now() > endMs) throw new Error(`waited in vain; last seen: ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
