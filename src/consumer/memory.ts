/**
 * What the calls of one invocation hold in memory, of the 128 MB that its isolate has. Bodies are
 * counted, and no task is taken while they are too many. Answers are held from their first byte
 * until the Batch has them: when there is no room they are read on in the order they asked, as
 * others leave; one may always go on, so that they do leave.
 */
export class Memory {
  readonly #bodyCharsMax: number;
  #bodyChars = 0;
  #left: number;
  #favoured: Held | undefined;
  readonly #line: { held: Held; go: () => void }[] = [];

  /**
   * @param limits.answerBytes exceeded by one answer at most.
   * @param limits.bodyChars exceeded by those of one exchange at most.
   */
  constructor(limits: { answerBytes: number; bodyChars: number }) {
    this.#left = limits.answerBytes;
    this.#bodyCharsMax = limits.bodyChars;
  }

  /** Whether there is room for more tasks. */
  get hasRoom(): boolean {
    return this.#bodyChars < this.#bodyCharsMax;
  }

  /** A task's body came; or goes, as a negative count. */
  addBody(chars: number): void {
    this.#bodyChars += chars;
  }

  /** Room for one answer. */
  open(): Held {
    return new Held(
      (held, bytes) => this.#take(held, bytes),
      (held, bytes) => this.#give(held, bytes),
    );
  }

  #take(held: Held, bytes: number): Promise<void> | undefined {
    this.#left -= bytes;
    if (this.#left >= 0 || held === this.#favoured) return undefined;
    if (this.#favoured === undefined) {
      this.#favoured = held;
      return undefined;
    }
    return new Promise((go) => this.#line.push({ held, go }));
  }

  #give(held: Held, bytes: number): void {
    this.#left += bytes;
    if (held === this.#favoured) this.#favoured = undefined;
    while (this.#line.length > 0) {
      const [first] = this.#line;
      if (first === undefined || (this.#left < 0 && this.#favoured !== undefined)) return;
      if (this.#left < 0) this.#favoured = first.held;
      this.#line.shift();
      first.go();
    }
  }
}

/** What one answer holds. */
export class Held {
  #bytes = 0;
  readonly #take: (held: Held, bytes: number) => Promise<void> | undefined;
  readonly #give: (held: Held, bytes: number) => void;

  constructor(
    take: (held: Held, bytes: number) => Promise<void> | undefined,
    give: (held: Held, bytes: number) => void,
  ) {
    this.#take = take;
    this.#give = give;
  }

  /** Holds so many more. @returns what to wait for before reading on, if there is anything. */
  add(bytes: number): Promise<void> | undefined {
    this.#bytes += bytes;
    return this.#take(this, bytes);
  }

  /** Lets go of all of it. Twice is once. */
  close(): void {
    const bytes = this.#bytes;
    this.#bytes = 0;
    this.#give(this, bytes);
  }
}
