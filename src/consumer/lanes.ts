/**
 * The lanes of one invocation: how many calls it may keep in flight, shared by its conversations.
 * In production an invocation has six connections that wait for response headers, and a seventh
 * waits silently; so a lane is taken before a task is asked for.
 */
export class Lanes {
  #free: number;
  readonly #changed = new Set<() => void>();

  constructor(count: number) {
    this.#free = count;
  }

  /** Takes all lanes that are free. */
  takeAll(): number {
    const taken = this.#free;
    this.#free = 0;
    return taken;
  }

  /** Gives lanes back. */
  give(count: number): void {
    if (count === 0) return;
    this.#free += count;
    for (const tell of this.#changed) tell();
  }

  /** Calls `tell` whenever lanes are given back, until the returned function is called. */
  onFree(tell: () => void): () => void {
    this.#changed.add(tell);
    return () => this.#changed.delete(tell);
  }
}
