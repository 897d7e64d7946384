/** Who waits for lanes: told how many it gets, once it is its turn. */
export interface Seeker {
  /** Lanes that one of its calls takes; it gets them for whole calls. */
  readonly weight: number;
  grant(count: number): void;
}

/**
 * The lanes of one invocation: how many calls it may keep in flight, shared by its conversations.
 * In production an invocation has six connections that wait for response headers, and a seventh
 * waits silently; so a lane is taken before a task is asked for. A call that holds its connection
 * to its end takes as many lanes as streamed ones fit beside each other on one connection. Who finds
 * too few free waits in line; lanes that come free go to the first in it, so a busy conversation
 * cannot keep them from others.
 */
export class Lanes {
  /** Less than none when more calls were started than lanes were taken for. */
  #free: number;
  readonly #line = new Set<Seeker>();

  constructor(count: number) {
    this.#free = count;
  }

  /** Takes all lanes that are free, for calls of a weight; none while somebody waits in line. */
  take(weight = 1): number {
    return this.#line.size > 0 ? 0 : this.#cut(weight);
  }

  /** Joins the line, at its end. Being in it already changes nothing. */
  wait(seeker: Seeker): void {
    this.#line.add(seeker);
    this.#serve();
  }

  /** Leaves the line. */
  leave(seeker: Seeker): void {
    this.#line.delete(seeker);
    // Fewer lanes than it waited for may be enough for the next one.
    this.#serve();
  }

  /** Gives lanes back; a negative count takes more than there were to take. */
  give(count: number): void {
    this.#free += count;
    this.#serve();
  }

  #serve(): void {
    for (const seeker of this.#line) {
      const count = this.#cut(seeker.weight);
      if (count === 0) return;
      this.#line.delete(seeker);
      seeker.grant(count);
    }
  }

  #cut(weight: number): number {
    const count = this.#free - (this.#free % weight);
    if (count <= 0) return 0;
    this.#free -= count;
    return count;
  }
}
