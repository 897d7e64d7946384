import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import type { Assignment } from "../../src/batch/exchange.ts";
import type { News } from "../../src/batch/permits.ts";
import { type Destination, type Field, Ways } from "../../src/batch/ways.ts";
import { type Route, routesOf } from "../../src/config/routes.ts";
import type { AcquireReply, AcquireRequest } from "../../src/limiter/acquire.ts";
import type { DecisionEvent } from "../../src/log.ts";
import { upstreamAt } from "../support/upstream.ts";

type Said = Omit<AcquireRequest, "ref">;

const ANSWERED: News = { extraTokens: 7, throttled: undefined, answered: true, alive: 1 };

/** A Limiter that gives what is free, or nothing while its upstream rests or is down. */
class StandIn {
  free: number;
  restsMs = 0;
  down = false;
  /** Whether a call may find out if it is back. */
  probes = false;
  away = false;
  readonly heard: Said[] = [];

  constructor(free: number) {
    this.free = free;
  }

  acquire(said: Said): AcquireReply {
    this.heard.push(said);
    if (this.away) throw new Error("the Limiter is away");
    const room = this.down ? (this.probes ? 1 : 0) : this.restsMs > 0 ? 0 : this.free - said.held;
    const startInMs = said.costs.slice(0, Math.max(0, room)).map(() => 0);
    const isAll = startInMs.length === said.costs.length;
    const waitsMs = this.down ? 2_000 : this.restsMs > 0 ? this.restsMs : 10_000;
    return {
      startInMs,
      retryInMs: isAll ? null : waitsMs,
      blockedBy: isAll ? null : this.down || this.restsMs > 0 ? "rate" : "calls",
      contended: false,
      kept: false,
      invite: null,
      down: this.down,
      ...(this.restsMs > 0 && { restsMs: this.restsMs }),
    };
  }

  get last(): Said | undefined {
    return this.heard.at(-1);
  }
}

/** A batch with tasks, and a stand-in for the Limiter of each of its upstreams. */
class Stage implements Field {
  readonly limiters = new Map<string, StandIn>();
  readonly by = new Map<string | null, number>();
  readonly ways: Ways;
  readonly logged: string[] = [];
  readonly #routes: readonly Route[];
  clockMs = 0;
  open = 100;
  isPool = false;
  mostAtOnce = Number.POSITIVE_INFINITY;
  #seq = 0;

  constructor(names: readonly string[], free = 10) {
    const upstreams = names.map((name) =>
      upstreamAt(`http://${name}.test/v1`, undefined, { name }),
    );
    this.#routes = routesOf(upstreams, "/v1/chat/completions", "m");
    for (const name of names) this.limiters.set(name, new StandIn(free));
    this.ways = new Ways(this);
  }

  nowMs = () => this.clockMs;
  routes = () => this.#routes;
  quota = () => "default";
  pool = () => this.isPool;
  weight = () => 10;
  running = () => [...this.by.values()].reduce((sum, count) => sum + count, 0);
  runningBy = () => this.by;
  ready = () => Math.min(this.open, this.mostAtOnce - this.running());
  idle = () => this.open === 0;
  costs = (want: number) => Array.from({ length: Math.min(want, this.ready()) }, () => 10);
  served = () => true;
  called = () => undefined;

  log = (decided: DecisionEvent) =>
    void this.logged.push(`${decided.event} ${String(decided.upstream)}`);

  claim(_holder: string, startInMs: readonly number[], { upstream }: Destination): Assignment[] {
    const count = Math.min(startInMs.length, this.ready());
    this.open -= count;
    this.by.set(upstream, (this.by.get(upstream) ?? 0) + count);
    return startInMs.slice(0, count).map((startMs) => {
      this.#seq += 1;
      return { seq: this.#seq, attempt: 1, upstream, body: "{}", startInMs: startMs };
    });
  }

  async acquire(said: Said): Promise<AcquireReply> {
    return this.limiter(said.quota).acquire(said);
  }

  limiter(name: string): StandIn {
    const limiter = this.limiters.get(name);
    if (limiter === undefined) throw new Error(`there is no Limiter of ${name}`);
    return limiter;
  }

  /** A turn, as how many tasks each upstream got. */
  async turn(want: number): Promise<Record<string, number>> {
    const { tasks } = await this.ways.turn("h", want);
    const got: Record<string, number> = {};
    for (const { upstream } of tasks) got[upstream] = (got[upstream] ?? 0) + 1;
    return got;
  }

  /** Calls to an upstream end. */
  end(upstream: string, count: number): void {
    this.by.set(upstream, (this.by.get(upstream) ?? 0) - count);
  }

  asks(name: string): number {
    return this.limiter(name).heard.length;
  }
}

let stage: Stage;
let first: StandIn;
let second: StandIn;

beforeEach(() => {
  stage = new Stage(["first", "second"]);
  first = stage.limiter("first");
  second = stage.limiter("second");
});

describe("a batch with one way", () => {
  test("asks once a turn, and is never held back for want of another", async () => {
    const alone = new Stage(["only"]);
    expect(await alone.turn(4)).toEqual({ only: 4 });
    expect(alone.asks("only")).toBe(1);
    expect(alone.limiter("only").last).toMatchObject({ held: 0, elsewhere: undefined });
    expect(alone.ways.owes()).toBe(false);
    expect(alone.ways.settle(alone.ways.idle, false)).toBeUndefined();
    alone.limiter("only").down = true;
    alone.end("only", 4);
    expect(await alone.ways.turn("h", 4)).toMatchObject({ retryInMs: 2_000, blockedBy: "rate" });
  });

  test("counts what ran before calls were told apart", async () => {
    const alone = new Stage(["only"]);
    alone.by.set(null, 3);
    await alone.turn(1);
    expect(alone.limiter("only").last).toMatchObject({ held: 3 });
  });
});

describe("a batch with two ways", () => {
  test("uses the first as long as it has something", async () => {
    expect(await stage.turn(6)).toEqual({ first: 6 });
    expect(second.heard).toEqual([]);
  });

  test("waits for the first when it is full", async () => {
    expect(await stage.turn(15)).toEqual({ first: 10 });
    expect(second.heard).toEqual([]);
  });

  test("waits for one that rests for a second, and goes on at the next when it rests longer", async () => {
    first.restsMs = 1_000;
    expect(await stage.turn(4)).toEqual({});
    stage.clockMs += 1_000;
    first.restsMs = 30_000;
    expect(await stage.turn(4)).toEqual({ second: 4 });
    expect(await stage.turn(3)).toEqual({ second: 3 });
    // The first has said when to come again.
    expect(first.heard).toHaveLength(2);
  });

  test("comes back to the first when its rest is over, and lets go of the second", async () => {
    first.restsMs = 30_000;
    expect(await stage.turn(15)).toEqual({ second: 10 });
    first.restsMs = 0;
    stage.clockMs += 30_000;
    expect(await stage.turn(5)).toEqual({ first: 5 });
    // The second takes the batch for one that wants five more.
    expect(stage.ways.owes()).toBe(true);
    await stage.ways.tell();
    expect(second.last).toMatchObject({ held: 10, costs: [], ready: 0 });
    expect(stage.ways.owes()).toBe(false);
  });

  test("sends one call to a first that is down, to find out, and the others to the second", async () => {
    first.down = true;
    first.probes = true;
    expect(await stage.turn(4)).toEqual({ first: 1, second: 3 });
    expect(first.last).toMatchObject({ elsewhere: "probe" });
    first.probes = false;
    expect(await stage.turn(4)).toEqual({ second: 4 });
    // The probe is answered: the first is asked at once, whatever it said before.
    stage.end("first", 1);
    first.down = false;
    stage.ways.note("first", ANSWERED);
    expect(await stage.turn(2)).toEqual({ first: 2 });
    expect(first.last).toMatchObject({ held: 0, alive: 1, extraTokens: 7 });
  });

  test("asks for all of it again when both are down", async () => {
    first.down = true;
    second.down = true;
    const turn = await stage.ways.turn("h", 4);
    expect(turn).toMatchObject({ tasks: [], retryInMs: 2_000, blockedBy: "rate" });
  });

  test("waits for a first whose Limiter is out of reach: nobody says that it is down", async () => {
    first.away = true;
    expect(await stage.ways.turn("h", 4)).toMatchObject({ tasks: [], retryInMs: 250 });
    expect(second.heard).toEqual([]);
  });

  test("asks no further for a holder that speaks anew", async () => {
    first.restsMs = 30_000;
    const turn = stage.ways.turn("h", 4);
    stage.ways.drop("h");
    expect((await turn).tasks).toEqual([]);
    expect(second.heard).toEqual([]);
  });

  test("tells each Limiter of the calls on its own way", async () => {
    first.restsMs = 30_000;
    stage.by.set(null, 2);
    await stage.turn(3);
    expect(first.last).toMatchObject({ held: 2 });
    stage.end("second", 1);
    await stage.ways.tell();
    expect(second.last).toMatchObject({ held: 2 });
  });

  test("tells what a report says to the Limiter of its way", async () => {
    await stage.ways.tell();
    stage.ways.note("second", ANSWERED);
    stage.ways.note(null, { ...ANSWERED, extraTokens: 1 });
    // An upstream that the configuration has no more.
    stage.ways.note("third", ANSWERED);
    await stage.turn(1);
    stage.by.set("second", 1);
    await stage.ways.tell();
    expect(first.heard.map(({ extraTokens }) => extraTokens)).toEqual([0, 1, 0]);
    expect(second.heard.map(({ extraTokens }) => extraTokens)).toEqual([0, 7]);
  });

  test("is told apart by what its Limiter says of the length of answers", async () => {
    const costs: (number | null)[] = [];
    stage.costs = (want) => Array.from({ length: want }, () => 10);
    const count = stage.costs;
    const field: Field = stage;
    field.costs = (want, mean) => {
      costs.push(mean);
      return count(want);
    };
    const acquire = stage.acquire.bind(stage);
    stage.acquire = async (said) => ({
      ...(await acquire(said)),
      meanOutput: said.quota === "first" ? 100 : 900,
    });
    stage.isPool = true;
    await stage.turn(12);
    await stage.turn(12);
    expect(costs).toEqual([null, null, 900]);
  });
});

describe("a pool", () => {
  beforeEach(() => {
    stage.isPool = true;
  });

  test("takes from the second what the first has not", async () => {
    expect(await stage.turn(15)).toEqual({ first: 10, second: 5 });
    expect(await stage.turn(15)).toEqual({ second: 5 });
    expect(await stage.ways.turn("h", 15)).toMatchObject({ tasks: [], blockedBy: "calls" });
    stage.end("first", 3);
    expect(await stage.turn(15)).toEqual({ first: 3 });
  });

  test("keeps the batch's own limit over both", async () => {
    stage.mostAtOnce = 12;
    expect(await stage.turn(50)).toEqual({ first: 10, second: 2 });
    expect(await stage.turn(50)).toEqual({});
    expect(stage.running()).toBe(12);
  });

  test("tells the second that nothing is wanted, once nothing is left", async () => {
    await stage.turn(30);
    expect(stage.ways.owes()).toBe(false);
    stage.open = 0;
    expect(stage.ways.owes()).toBe(true);
    await stage.ways.tell();
    expect(second.last).toMatchObject({ ready: 0 });
  });
});

describe("a task that was told to wait", () => {
  const throttled = { kind: "throttled", afterMs: 30_000 } as const;
  const failed = { kind: "retry", afterMs: 30_000 } as const;

  test("waits where there is no other way", () => {
    const alone = new Stage(["only"]);
    expect(alone.ways.standing("only").meaning(throttled)).toEqual(throttled);
  });

  test("goes another way at once when the wait is that of the whole quota", () => {
    const { meaning } = stage.ways.standing("first");
    expect(meaning(throttled)).toEqual({ kind: "throttled" });
    expect(meaning({ kind: "throttled", afterMs: 500 })).toMatchObject({ afterMs: 500 });
    expect(meaning(failed)).toEqual(failed);
    expect(meaning({ kind: "failed" })).toEqual({ kind: "failed" });
  });

  test("waits when the other way rests, too", async () => {
    stage.isPool = true;
    second.restsMs = 60_000;
    await stage.turn(15);
    expect(stage.ways.standing("first").meaning(throttled)).toEqual(throttled);
  });

  test("keeps its attempts and goes another way when its upstream is down", async () => {
    first.down = true;
    await stage.turn(1);
    expect(stage.ways.standing("first").meaning(failed)).toEqual({ kind: "throttled" });
    expect(stage.ways.standing("second").meaning(failed)).toEqual(failed);
  });

  test("loses an attempt where its upstream, which is down, is the only one", async () => {
    const alone = new Stage(["only"]);
    alone.limiter("only").down = true;
    await alone.turn(1);
    expect(alone.ways.standing("only").meaning(failed)).toEqual(failed);
  });
});

describe("a key that is refused", () => {
  const failed = { kind: "failed" } as const;
  const meaning = (upstream: string, refusing = false) =>
    stage.ways.standing(upstream, refusing).meaning(failed, true);

  beforeEach(() => {
    stage.clockMs = 1_000_000;
  });

  test("costs its task nothing, and shuts its way, where there is another", async () => {
    expect(meaning("first")).toEqual({ kind: "throttled" });
    stage.ways.keyRefused("first");
    stage.ways.keyRefused("first");
    expect(stage.logged).toEqual(["key_refused first"]);
    expect(await stage.turn(4)).toEqual({ second: 4 });
    expect(first.heard).toEqual([]);
    expect(stage.ways.inUse().map(({ upstream }) => upstream.name)).toEqual(["second"]);
  });

  test("fails its task where there is no other way, or all others are shut", () => {
    const alone = new Stage(["only"]);
    expect(alone.ways.standing("only").meaning(failed, true)).toEqual(failed);
    stage.ways.keyRefused("second");
    expect(meaning("first")).toEqual(failed);
    stage.ways.keyRefused("first");
    expect(stage.logged).toEqual(["key_refused second"]);
  });

  test("fails its task when it is the only one among successes", () => {
    stage.ways.keyTaken("first", stage.clockMs);
    expect(meaning("first")).toEqual(failed);
    stage.ways.keyRefused("first");
    stage.ways.keyTaken("first", stage.clockMs);
    expect(meaning("first")).toEqual(failed);
    expect(stage.logged).toEqual([]);
  });

  test("is taken for bad at the second in a row, in one exchange or in two", () => {
    stage.ways.keyTaken("first", stage.clockMs);
    expect(meaning("first", true)).toEqual({ kind: "throttled" });
    stage.ways.keyRefused("first");
    expect(meaning("first")).toEqual({ kind: "throttled" });
    stage.ways.keyRefused("first");
    expect(stage.logged).toEqual(["key_refused first"]);
  });

  test("is tried by one call at a time, after pauses that double up to a minute", async () => {
    stage.isPool = true;
    stage.ways.keyRefused("first");
    const probesMs: number[] = [];
    const startMs = stage.clockMs;
    for (; stage.clockMs < startMs + 250_000; stage.clockMs += 500) {
      const turns = await Promise.all([stage.ways.turn("h", 4), stage.ways.turn("other", 4)]);
      const probes = turns.flatMap(({ tasks }) => tasks.filter((t) => t.upstream === "first"));
      expect(probes.length).toBeLessThanOrEqual(1);
      if (probes.length > 0) probesMs.push(stage.clockMs - startMs);
      stage.end("first", probes.length);
      stage.end("second", stage.by.get("second") ?? 0);
      stage.open = 100;
    }
    expect(probesMs).toEqual([1, 3, 7, 15, 31, 63, 123, 183, 243].map((s) => s * 1_000));
  });

  test("is tried in time though nothing else happens", async () => {
    stage.isPool = true;
    second.restsMs = 30_000;
    stage.ways.keyRefused("first");
    stage.clockMs += 400;
    expect(await stage.ways.turn("h", 4)).toMatchObject({ tasks: [], retryInMs: 600 });
  });

  test("is good again with a success of a call that began since, and with none from before", async () => {
    stage.ways.keyRefused("first");
    stage.clockMs += 100;
    stage.ways.keyTaken("first", stage.clockMs - 101);
    expect(await stage.turn(2)).toEqual({ second: 2 });
    stage.ways.keyTaken("first", stage.clockMs);
    expect(stage.logged).toEqual(["key_refused first", "key_taken first"]);
    expect(await stage.turn(2)).toEqual({ first: 2 });
  });

  test("is tried anew when the batch is run again", async () => {
    stage.ways.keyRefused("first");
    stage.ways.forgetKeys();
    expect(await stage.turn(2)).toEqual({ first: 2 });
  });

  test("lets go of the calls that the Limiter of its way keeps", async () => {
    stage.isPool = true;
    await stage.turn(15);
    await stage.turn(15);
    stage.end("first", 10);
    await stage.turn(15);
    stage.ways.keyRefused("first");
    stage.by.clear();
    await stage.ways.tell();
    expect(first.last).toMatchObject({ held: 0, costs: [], ready: 0 });
    expect(stage.ways.owes()).toBe(false);
  });
});

test("429s of one way say nothing of the other", () => {
  for (let count = 0; count < 10; count += 1) {
    stage.ways.note("first", { ...ANSWERED, answered: false, refused: 1 });
    stage.ways.note("second", { ...ANSWERED, accepted: 1 });
  }
  expect(stage.ways.standing("first").othersPass).toBe(false);
  expect(stage.ways.standing("second").othersPass).toBe(true);
});

test("the limits of each way and of the batch hold, whatever happens", async () => {
  const step = fc.record({
    want: fc.integer({ min: 1, max: 12 }),
    ends: fc.tuple(fc.nat(5), fc.nat(5)),
    rests: fc.constantFrom(0, 0, 500, 20_000),
    down: fc.boolean(),
    away: fc.boolean(),
    pool: fc.boolean(),
    afterMs: fc.constantFrom(0, 300, 15_000),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const world = new Stage(["first", "second"], 4);
      world.mostAtOnce = 6;
      for (const { want, ends, rests, down, away, pool, afterMs } of steps) {
        for (const [index, name] of ["first", "second"].entries()) {
          world.end(name, Math.min(ends[index] ?? 0, world.by.get(name) ?? 0));
        }
        Object.assign(world.limiter("first"), { restsMs: rests, down, away });
        world.isPool = pool;
        world.clockMs += afterMs;
        await Promise.all([world.turn(want), world.ways.turn("other", want)]);
        for (const name of ["first", "second"]) {
          expect(world.by.get(name) ?? 0).toBeLessThanOrEqual(4);
        }
        expect(world.running()).toBeLessThanOrEqual(6);
      }
      Object.assign(world.limiter("first"), { restsMs: 0, down: false, away: false });
      await world.ways.tell();
      for (const [name, limiter] of world.limiters) {
        expect(limiter.last?.held ?? 0).toBe(world.by.get(name) ?? 0);
      }
    }),
  );
});
