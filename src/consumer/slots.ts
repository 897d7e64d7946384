/**
 * The connections of one invocation that may wait for response headers at once. The platform has
 * six, and lets a seventh wait silently; waiting here instead means that a call's time does not run
 * before its request is sent.
 */
export class Slots {
  #free: number;
  readonly #line: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** Resolves when it is the caller's turn; who came first is first. */
  async enter(): Promise<void> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#line.push(resolve));
  }

  /** The headers have come, or will not. */
  leave(): void {
    const next = this.#line.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }
}
