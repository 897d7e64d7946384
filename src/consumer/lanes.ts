/** Who waits for lanes: told how many it gets, once it is its turn. */
export interface Seeker {
  grant(count: number): void;
}

/**
 * The lanes of one invocation: how many calls it may keep in flight, shared by its conversations.
 * In production an invocation has six connections that wait for response headers, and a seventh
 * waits silently; so a lane is taken before a task is asked for. Who finds none free waits in line;
 * lanes that come free go to the first in it, so a busy conversation cannot keep them from others.
 */
export class Lanes {
  #free: number;
  readonly #line = new Set<Seeker>();

  constructor(count: number) {
    this.#free = count;
  }

  /** Takes all lanes that are free; none while somebody waits in line. */
  take(): number {
    if (this.#line.size > 0) return 0;
    const taken = this.#free;
    this.#free = 0;
    return taken;
  }

  /** Joins the line, at its end. Being in it already changes nothing. */
  wait(seeker: Seeker): void {
    this.#line.add(seeker);
    this.#serve();
  }

  /** Leaves the line. */
  leave(seeker: Seeker): void {
    this.#line.delete(seeker);
  }

  /** Gives lanes back. */
  give(count: number): void {
    this.#free += count;
    this.#serve();
  }

  #serve(): void {
    for (const seeker of this.#line) {
      if (this.#free === 0) return;
      const count = this.#free;
      this.#free = 0;
      this.#line.delete(seeker);
      seeker.grant(count);
    }
  }
}
