/** Who waits for lanes: told how many it gets, once it is its turn. */
export interface Seeker {
  /** Lanes that one of its calls takes; it gets them for whole calls. */
  readonly weight: number;
  /** Calls it could make at most: it gets no lanes for more. */
  readonly wants?: number;
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

  /** Takes lanes that are free, for as many calls as are wanted; none while somebody waits in line. */
  take(weight = 1, wants = Number.POSITIVE_INFINITY): number {
    return this.#line.size > 0 ? 0 : this.#cut(weight, wants);
  }

  /** Joins the line, at its end. Being in it already changes nothing. */
  wait(seeker: Seeker): void {
    this.#line.add(seeker);
    this.#serve();
  }

  /** Joins the line at its head: calls are kept for the seeker's batch, and for a short time only. */
  waitFirst(seeker: Seeker): void {
    const others = [...this.#line].filter((other) => other !== seeker);
    this.#line.clear();
    for (const one of [seeker, ...others]) this.#line.add(one);
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
      // Everybody in line gets a part at once: while one asks for tasks its lanes are idle.
      const part = Math.ceil(Math.floor(this.#free / seeker.weight) / this.#line.size);
      const count = this.#cut(seeker.weight, Math.min(part, seeker.wants ?? part));
      if (count === 0) return;
      this.#line.delete(seeker);
      seeker.grant(count);
    }
  }

  #cut(weight: number, calls: number): number {
    const count = Math.min(Math.floor(this.#free / weight), Math.max(1, calls)) * weight;
    if (count <= 0) return 0;
    this.#free -= count;
    return count;
  }
}
