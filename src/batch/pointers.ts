import type { BatchRef, Pointer } from "../wire/messages.ts";
import type { World } from "./world.ts";

/** A pointer that nobody picked up after this long is taken for lost and sent again. */
const PATIENCE_MS = 10_000;
/** Each time that happens the patience doubles, up to this: the queue may just be long. */
const PATIENCE_MAX_MS = 300_000;

/** The batch's pointers on the tasks queue. Knows which pointers are out; forgetting them is harmless. */
export class Pointers {
  readonly #world: World;
  #sentAtMs: number[] = [];
  #patienceMs = PATIENCE_MS;

  constructor(world: World) {
    this.#world = world;
  }

  /** Pointers that may still be picked up. */
  outstanding(nowMs: number): number {
    const before = this.#sentAtMs.length;
    // One from the future was sent before the clock went back; nobody knows how long ago.
    this.#sentAtMs = this.#sentAtMs.filter((at) => Math.abs(nowMs - at) < this.#patienceMs);
    if (before > 0 && this.#sentAtMs.length === 0) {
      this.#patienceMs = Math.min(PATIENCE_MAX_MS, this.#patienceMs * 2);
    }
    return this.#sentAtMs.length;
  }

  /** When the first of them is to be taken for lost, or undefined when none is out. */
  lostAtMs(): number | undefined {
    const [first] = this.#sentAtMs;
    return first === undefined ? undefined : first + this.#patienceMs;
  }

  /** A conversation began: one was picked up. */
  arrived(): void {
    this.#sentAtMs.shift();
    this.#patienceMs = PATIENCE_MS;
  }

  /**
   * Sends pointers. The queue may hang or be overloaded; that is logged and left to the sweep, to
   * which a pointer that was never sent looks like one that was lost.
   */
  async send(ref: BatchRef, count: number, nowMs: number): Promise<void> {
    const body: Pointer = { v: 1, ...ref };
    for (let left = count; left > 0; left -= MAX_SEND) {
      const messages = Array.from({ length: Math.min(left, MAX_SEND) }, () => ({ body }));
      for (const _ of messages) this.#sentAtMs.push(nowMs);
      try {
        await this.#world.sendPointers(messages);
      } catch (error) {
        this.#world.log({ event: "pointers_not_sent", batch: ref.batch_id, error: String(error) });
        return;
      }
    }
  }
}

/** Queues takes at most 100 messages in one sendBatch. */
const MAX_SEND = 100;
