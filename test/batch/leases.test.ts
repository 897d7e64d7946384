import { describe, expect, test } from "vitest";
import type { Assignment } from "../../src/batch/exchange.ts";
import { type Floor, Permits } from "../../src/batch/permits.ts";
import type { AcquireReply } from "../../src/limiter/acquire.ts";

const LEASE_MS = 1_000;
const NEWS = { extraTokens: 0, throttled: undefined, answered: true };

/** A batch whose Limiter grants all it asks for, with a lease. */
class Stage {
  asks = 0;
  /** Calls that the last ask told of, made without one. */
  leased: number | undefined;
  running = 0;
  clockMs = 0;
  leaseMs = LEASE_MS;
  readonly permits: Permits;

  constructor() {
    const floor: Floor = {
      nowMs: () => this.clockMs,
      weight: () => 10,
      held: () => this.running,
      costs: (want) => Array.from({ length: want }, () => 1),
      ready: () => 100,
      served: () => true,
      called: () => undefined,
      meanOutput: () => undefined,
      claim: (_, starts) => this.#claim(starts),
      acquire: ({ costs, leased }) => {
        this.asks += 1;
        this.leased = leased;
        return Promise.resolve(this.#grant(costs.length));
      },
    };
    this.permits = new Permits(floor);
  }

  /** A conversation that has got its first calls. */
  static async with(calls: number): Promise<Stage> {
    const stage = new Stage();
    await stage.permits.turn("h", calls);
    expect(stage).toMatchObject({ running: calls, asks: 1 });
    return stage;
  }

  /** Calls end, and as many are wanted; how many there are then. */
  async follow(ended: number, wanted = ended): Promise<number> {
    this.running -= ended;
    this.permits.note(NEWS);
    return (await this.permits.turn("h", wanted)).tasks.length;
  }

  #claim(starts: readonly number[]): Assignment[] {
    this.running += starts.length;
    return starts.map((startInMs, seq) => ({
      seq,
      attempt: 1,
      upstream: "u",
      body: "",
      startInMs,
    }));
  }

  #grant(count: number): AcquireReply {
    const startInMs = Array.from({ length: count }, () => 0);
    const rest = { retryInMs: null, blockedBy: null, contended: false, kept: false, invite: null };
    return { ...rest, startInMs, leaseMs: this.leaseMs };
  }
}

describe("with a lease", () => {
  test("calls follow each other without an ask, and never more at once than were permitted", async () => {
    const stage = await Stage.with(5);
    for (let n = 0; n < 20; n += 1) expect(await stage.follow(1 + (n % 5))).toBe(1 + (n % 5));
    expect(stage).toMatchObject({ running: 5, asks: 1 });
  });

  test("more calls than have ended are asked for", async () => {
    const stage = await Stage.with(5);
    expect(await stage.follow(2, 3)).toBe(3);
    expect(stage).toMatchObject({ running: 6, asks: 2 });
  });

  test("news wait a second at most", async () => {
    const stage = await Stage.with(5);
    stage.clockMs = LEASE_MS - 1;
    await stage.follow(1);
    expect(stage.asks).toBe(1);
    stage.clockMs = LEASE_MS;
    await stage.follow(1);
    expect(stage.asks).toBe(2);
  });

  test("the next ask tells how many calls were made without one, once", async () => {
    const stage = await Stage.with(5);
    await stage.follow(2);
    await stage.follow(3);
    await stage.follow(1, 2);
    expect(stage).toMatchObject({ asks: 2, leased: 5 });
    await stage.follow(1, 2);
    expect(stage).toMatchObject({ asks: 3, leased: 0 });
  });

  test("a 429 is told at once", async () => {
    const stage = await Stage.with(5);
    stage.running -= 1;
    stage.permits.note({ ...NEWS, throttled: { afterMs: 100 } });
    await stage.permits.turn("h", 1);
    expect(stage.asks).toBe(2);
  });

  test("limits that headers tell are told at once", async () => {
    const stage = await Stage.with(5);
    stage.running -= 1;
    const limits = { requests: { limit: 600, remaining: 10, resetMs: 59_000 } };
    stage.permits.note({ ...NEWS, told: { limits, tookMs: 5 } });
    await stage.permits.turn("h", 1);
    expect(stage.asks).toBe(2);
  });

  test("it lasts no longer when the clock goes back", async () => {
    const stage = new Stage();
    stage.clockMs = 3_600_000;
    await stage.permits.turn("h", 5);
    stage.clockMs = 0;
    await stage.follow(1);
    expect(stage.asks).toBe(2);
  });

  test("that is over before its time, every call is asked for", async () => {
    const stage = await Stage.with(5);
    stage.leaseMs = 0;
    stage.permits.wake();
    await stage.follow(1);
    await stage.follow(1);
    expect(stage.asks).toBe(3);
  });
});
