/**
 * An upstream counts a call that was given up until it hears of it. The next call in its place waits
 * so long, or there would be one too many for a moment.
 */
const HEARD_MS = 50;

/** Resolves when an upstream has most likely heard that a call to it was given up. */
export function heard(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, HEARD_MS));
}
