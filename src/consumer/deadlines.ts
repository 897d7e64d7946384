/**
 * What is to happen to calls that take too long. Calls begin and end by the thousand and hardly
 * one is late, so those with the same time share one timer, set for the one that is due first: a
 * timer for each costs a twentieth of all that a call costs.
 */
export class Deadlines {
  readonly #lines = new Map<number, Line>();

  /** Calls `late` after `ms`, unless it is called off before. @returns what calls it off. */
  set(ms: number, late: () => void): () => void {
    const line = this.#lines.get(ms) ?? new Line(ms);
    this.#lines.set(ms, line);
    return line.add(late);
  }
}

interface Waiting {
  atMs: number;
  late: () => void;
}

/** Those with the same time, in the order in which they are due. */
class Line {
  readonly #ms: number;
  readonly #waiting = new Set<Waiting>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(ms: number) {
    this.#ms = ms;
  }

  add(late: () => void): () => void {
    const one: Waiting = { atMs: Date.now() + this.#ms, late };
    this.#waiting.add(one);
    this.#timer ??= setTimeout(() => this.#look(), this.#ms);
    return () => {
      this.#waiting.delete(one);
      if (this.#waiting.size > 0) return;
      clearTimeout(this.#timer);
      this.#timer = undefined;
    };
  }

  #look(): void {
    this.#timer = undefined;
    const nowMs = Date.now();
    const late: Waiting[] = [];
    for (const one of this.#waiting) {
      const leftMs = one.atMs - nowMs;
      if (leftMs > 0) {
        // More than its whole time is left when the clock went back meanwhile.
        this.#timer = setTimeout(() => this.#look(), Math.min(leftMs, this.#ms));
        break;
      }
      this.#waiting.delete(one);
      late.push(one);
    }
    for (const one of late) one.late();
  }
}
