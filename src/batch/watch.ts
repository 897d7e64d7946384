/** How often what is watched is looked at while somebody waits. */
const LOOK_MS = 50;

interface Waiter<T> {
  good: (seen: T) => boolean;
  untilMs: number;
  resolve: (seen: T) => void;
  reject: (error: unknown) => void;
}

/**
 * Waits for a condition over what can be looked at. One look serves all who wait, so many of them
 * cost no more than one; nobody waiting costs nothing. Looking, and not being told: then no change
 * can be forgotten, whoever makes it.
 */
export class Watch<T> {
  readonly #look: () => T;
  readonly #waiters = new Set<Waiter<T>>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(look: () => T) {
    this.#look = look;
  }

  /** What is seen as soon as it is good, or after `waitMs` as it is then. */
  until(good: (seen: T) => boolean, waitMs: number): Promise<T> {
    const seen = this.#look();
    if (waitMs <= 0 || good(seen)) return Promise.resolve(seen);
    return new Promise((resolve, reject) => {
      this.#waiters.add({ good, untilMs: Date.now() + waitMs, resolve, reject });
      this.#timer ??= setTimeout(() => this.#turn(), LOOK_MS);
    });
  }

  #turn(): void {
    this.#timer = undefined;
    try {
      const seen = this.#look();
      const nowMs = Date.now();
      for (const waiter of this.#waiters) {
        if (nowMs < waiter.untilMs && !waiter.good(seen)) continue;
        this.#waiters.delete(waiter);
        waiter.resolve(seen);
      }
    } catch (error) {
      for (const { reject } of this.#waiters) reject(error);
      this.#waiters.clear();
    }
    if (this.#waiters.size > 0) this.#timer = setTimeout(() => this.#turn(), LOOK_MS);
  }
}
