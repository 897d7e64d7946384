import type { World } from "./world.ts";

/** An alarm that has been due this long is not trusted to come any more. */
const OVERDUE_MS = 60_000;

type Clock = Pick<World, "nowMs" | "setAlarm" | "deleteAlarm">;

/** An object has one alarm: it is set for the earliest of all times that were asked for. */
export class Alarm {
  readonly #world: Clock;
  /** As far as this instance knows. */
  #atMs: number | undefined;

  /** @param atMs when it is set for, if it is. */
  constructor(world: Clock, atMs: number | undefined) {
    this.#world = world;
    this.#atMs = atMs;
  }

  /** Sets it, unless it is set for an earlier time. One that is due comes by itself. */
  arm(atMs: number | undefined): void {
    if (atMs === undefined) return;
    const nowMs = this.#world.nowMs();
    const atLeast = Math.max(atMs, nowMs + 1);
    if (this.#atMs !== undefined && this.#atMs <= atLeast) {
      if (nowMs - this.#atMs < OVERDUE_MS) return;
    }
    this.#atMs = atLeast;
    this.#world.setAlarm(atLeast);
  }

  /** It came, and is set no more. */
  rang(): void {
    this.#atMs = undefined;
  }

  /** Sets it for this time whatever it was set for, or for none. */
  reset(atMs: number | undefined): void {
    this.#atMs = undefined;
    if (atMs === undefined) this.#world.deleteAlarm();
    else this.arm(atMs);
  }
}
