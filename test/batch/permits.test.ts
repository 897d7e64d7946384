import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Assignment } from "../../src/batch/exchange.ts";
import { type Floor, type News, Permits, type Turn } from "../../src/batch/permits.ts";
import type { AcquireReply, AcquireRequest } from "../../src/limiter/acquire.ts";
import type { BatchRef } from "../../src/wire/messages.ts";

type Said = Omit<AcquireRequest, "ref">;

const QUIET: News = { extraTokens: 0, throttled: undefined, answered: false };
const ANSWERED: News = { extraTokens: 5, throttled: undefined, answered: true };
const INVITED: BatchRef = { project: "p", batch_id: "batch_other" };

/** One ask that the Limiter has heard; the test answers it. */
interface Heard {
  said: Said;
  grant(startInMs: number[], rest?: Partial<AcquireReply>): Promise<void>;
  refuse(): Promise<void>;
}

const GRANT = { contended: false, kept: false, invite: null };

/** A batch's floor with `open` tasks, and a Limiter that answers when the test says so. */
class Stage implements Floor {
  readonly heard: Heard[] = [];
  readonly claims: { holder: string; startInMs: readonly number[] }[] = [];
  running = 0;
  open: number;
  claimFails = false;
  clockMs = 0;
  /** How often somebody was told to come for calls that are kept. */
  calls = 0;
  readonly permits: Permits;

  constructor(open = 100) {
    this.open = open;
    this.permits = new Permits(this);
  }

  held(): number {
    return this.running;
  }

  costs(want: number): number[] {
    return Array.from({ length: Math.min(want, this.open) }, (_, index) => 10 + index);
  }

  ready(): number {
    return this.open;
  }

  nowMs(): number {
    return this.clockMs;
  }

  weight(): number {
    return 10;
  }

  served(): boolean {
    return true;
  }

  called(): void {
    this.calls += 1;
  }

  meanOutput(): void {}

  claim(holder: string, startInMs: readonly number[]): Assignment[] {
    if (this.claimFails) throw new Error("storage is away");
    this.claims.push({ holder, startInMs: [...startInMs] });
    const tasks = startInMs.slice(0, this.open).map((startMs, index) => ({
      seq: this.running + index,
      attempt: 1,
      upstream: "default",
      body: "{}",
      startInMs: startMs,
    }));
    this.open -= tasks.length;
    this.running += tasks.length;
    return tasks;
  }

  acquire(said: Said): Promise<AcquireReply> {
    return new Promise((resolve, reject) => {
      this.heard.push({
        said,
        grant: (startInMs, rest) => {
          const retryInMs = rest?.retryInMs ?? null;
          const blockedBy = retryInMs === null ? null : "rate";
          resolve({ ...GRANT, startInMs, retryInMs, blockedBy, ...rest });
          return settled();
        },
        refuse: () => {
          reject(new Error("the Limiter is away"));
          return settled();
        },
      });
    });
  }

  /** The last ask. */
  get last(): Heard {
    const last = this.heard.at(-1);
    if (last === undefined) throw new Error("nothing was asked");
    return last;
  }
}

/** Everything that follows from what has been answered so far has happened. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

describe("a turn", () => {
  test("asks for the next tasks, and gets them claimed in its name", async () => {
    const stage = new Stage();
    const turn = stage.permits.turn("h1", 3);
    await settled();
    expect(stage.last.said).toMatchObject({
      held: 0,
      costs: [10, 11, 12],
      ready: expect.any(Number),
      ...QUIET,
    });
    await stage.last.grant([0, 5, 9]);
    expect(await turn).toMatchObject({
      tasks: [0, 5, 9].map((startInMs, seq) => ({
        seq,
        attempt: 1,
        upstream: "default",
        body: "{}",
        startInMs,
      })),
      retryInMs: null,
      invite: null,
    });
    expect(stage.claims).toEqual([{ holder: "h1", startInMs: [0, 5, 9] }]);
  });

  test("without a permit claims nothing and says when to ask again", async () => {
    const stage = new Stage();
    const turn = stage.permits.turn("h1", 3);
    await settled();
    await stage.last.grant([], { retryInMs: 400 });
    expect(await turn).toMatchObject({ tasks: [], retryInMs: 400, invite: null });
    expect(stage.claims).toEqual([]);
  });

  test("that gets fewer than it wants says when to ask again", async () => {
    const stage = new Stage();
    const turn = stage.permits.turn("h1", 3);
    await settled();
    await stage.last.grant([0], { retryInMs: 70 });
    expect(await turn).toMatchObject({ tasks: [{ seq: 0 }], retryInMs: 70 });
  });

  test("waits while another ask is under way, and is asked for together with those behind it", async () => {
    const stage = new Stage();
    const first = stage.permits.turn("h1", 1);
    await settled();
    const second = stage.permits.turn("h2", 2);
    await settled();
    const third = stage.permits.turn("h3", 3);
    await settled();
    await settled();
    expect(stage.heard).toHaveLength(1);
    await stage.last.grant([0]);
    expect((await first).tasks).toHaveLength(1);
    expect(stage.heard).toHaveLength(2);
    expect(stage.last.said.costs).toHaveLength(5);
    await stage.last.grant([1, 2, 3, 4, 5]);
    expect((await second).tasks.map(({ startInMs }) => startInMs)).toEqual([1, 2]);
    expect((await third).tasks.map(({ startInMs }) => startInMs)).toEqual([3, 4, 5]);
  });

  test("shares too few permits in the order of asking", async () => {
    const stage = new Stage();
    void stage.permits.turn("h0", 1);
    await settled();
    const turns = ["h1", "h2", "h3"].map((holder) => stage.permits.turn(holder, 2));
    await settled();
    await stage.last.grant([0]);
    await stage.last.grant([0, 0, 7], { retryInMs: 90 });
    const got = await Promise.all(turns);
    expect(got.map(({ tasks }) => tasks.length)).toEqual([2, 1, 0]);
    expect(got.map(({ retryInMs }) => retryInMs)).toEqual([90, 90, 90]);
  });

  test("passes on to the next one the permits for which it found no task", async () => {
    const stage = new Stage();
    void stage.permits.turn("h0", 1);
    await settled();
    const first = stage.permits.turn("h1", 2);
    await settled();
    const second = stage.permits.turn("h2", 2);
    await settled();
    await stage.last.grant([0]);
    stage.open = 1;
    await stage.last.grant([3, 4, 5, 6]);
    expect((await first).tasks.map(({ startInMs }) => startInMs)).toEqual([3]);
    expect((await second).tasks).toEqual([]);
    expect(stage.claims.at(-1)).toEqual({ holder: "h2", startInMs: [4, 5] });
  });

  test("takes no more permits than it asked for", async () => {
    const stage = new Stage();
    const turn = stage.permits.turn("h1", 1);
    await settled();
    await stage.last.grant([0, 0, 0]);
    expect((await turn).tasks).toHaveLength(1);
    expect(stage.running).toBe(1);
  });

  test("is asked for with whether the batch has work", async () => {
    const stage = new Stage(0);
    void stage.permits.turn("h1", 1);
    await settled();
    expect(stage.last.said).toMatchObject({ costs: [], ready: 0 });
    stage.open = 1;
    void stage.permits.turn("h1", 1);
    await settled();
    await stage.last.grant([]);
    expect(stage.last.said).toMatchObject({ costs: [10], ready: expect.any(Number) });
  });

  test("hands an invitation to one of those who wait, not to all", async () => {
    const stage = new Stage();
    void stage.permits.turn("h0", 1);
    await settled();
    const first = stage.permits.turn("h1", 1);
    await settled();
    const second = stage.permits.turn("h2", 1);
    await settled();
    await stage.last.grant([0]);
    await stage.last.grant([], { retryInMs: 50, invite: INVITED });
    expect((await first).invite).toEqual(INVITED);
    expect((await second).invite).toBeNull();
  });
});

describe("each ask", () => {
  test("tells the calls in flight as they are when it is sent", async () => {
    const stage = new Stage();
    void stage.permits.turn("h1", 2);
    await settled();
    void stage.permits.turn("h2", 2);
    await settled();
    await stage.last.grant([0, 0]);
    expect(stage.last.said.held).toBe(2);
    stage.running -= 1;
    void stage.permits.turn("h1", 1);
    await settled();
    await stage.last.grant([0, 0]);
    expect(stage.last.said.held).toBe(3);
  });

  test("is sent only when the one before it is answered, in any order of events", async () => {
    const event = fc.constantFrom("turn", "tell", "note", "drop", "grant", "refuse");
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 40 }), async (events) => {
        const stage = new Stage(1000);
        const turns: Promise<Turn>[] = [];
        let answered = 0;
        let told = false;
        const answer = async (grants: boolean) => {
          const ask = stage.heard[answered];
          if (ask === undefined) return;
          answered += 1;
          told = grants;
          if (grants) await ask.grant(ask.said.costs.map(() => 0));
          else await ask.refuse();
        };
        for (const happened of events) {
          if (happened === "turn") turns.push(stage.permits.turn(`h${turns.length}`, 2));
          if (happened === "tell") void stage.permits.tell();
          if (happened === "note") stage.permits.note(ANSWERED);
          if (happened === "drop") stage.permits.drop(`h${turns.length - 1}`);
          if (happened === "grant") await answer(true);
          if (happened === "refuse") await answer(false);
          await settled();
          expect(stage.heard.length - answered).toBeLessThanOrEqual(1);
        }
        while (answered < stage.heard.length) await answer(true);
        expect(await Promise.all(turns)).toHaveLength(turns.length);
        expect(stage.permits.owes()).toBe(!told);
      }),
    );
  });
});

describe("news", () => {
  test("is told with the next ask, and once", async () => {
    const stage = new Stage();
    stage.permits.note({ extraTokens: 5, throttled: { afterMs: 100 }, answered: true });
    void stage.permits.turn("h1", 1);
    await settled();
    expect(stage.last.said).toMatchObject({
      extraTokens: 5,
      throttled: { afterMs: 100 },
      answered: true,
    });
    await stage.last.grant([0]);
    void stage.permits.turn("h1", 1);
    await settled();
    expect(stage.last.said).toMatchObject(QUIET);
  });

  test("of several reports is told as one: tokens added, any answer, any 429", async () => {
    const stage = new Stage();
    stage.permits.note({ extraTokens: 5, throttled: undefined, answered: true });
    stage.permits.note({ extraTokens: -30, throttled: {}, answered: false });
    stage.permits.note(QUIET);
    void stage.permits.turn("h1", 1);
    await settled();
    expect(stage.last.said).toMatchObject({ extraTokens: -25, throttled: {}, answered: true });
  });

  test.each<[News["throttled"], News["throttled"], News["throttled"]]>([
    [{ afterMs: 100 }, { afterMs: 900 }, { afterMs: 900 }],
    [{ afterMs: 900 }, { afterMs: 100 }, { afterMs: 900 }],
    [{ afterMs: 100 }, {}, { afterMs: 100 }],
    [{}, { afterMs: 100 }, { afterMs: 100 }],
    [{}, undefined, {}],
    [undefined, { afterMs: 0 }, { afterMs: 0 }],
  ])("of 429s %j and %j is the longest wait", async (one, other, told) => {
    const stage = new Stage();
    stage.permits.note({ ...QUIET, throttled: one });
    stage.permits.note({ ...QUIET, throttled: other });
    void stage.permits.turn("h1", 1);
    await settled();
    expect(stage.last.said.throttled).toEqual(told);
  });

  test("that comes while an ask is under way goes out with the next one", async () => {
    const stage = new Stage();
    const turn = stage.permits.turn("h1", 1);
    await settled();
    stage.permits.note(ANSWERED);
    expect(stage.last.said).toMatchObject(QUIET);
    await stage.last.grant([0]);
    expect((await turn).tasks).toHaveLength(1);
    expect(stage.heard).toHaveLength(2);
    expect(stage.last.said).toMatchObject({
      held: 1,
      costs: [],
      ready: expect.any(Number),
      ...ANSWERED,
    });
  });

  test("is told without a turn, with what is held and no wish", async () => {
    const stage = new Stage();
    stage.running = 4;
    stage.permits.note(ANSWERED);
    const told = stage.permits.tell();
    await settled();
    expect(stage.last.said).toMatchObject({
      held: 4,
      costs: [],
      ready: expect.any(Number),
      ...ANSWERED,
    });
    await stage.last.grant([]);
    await told;
    expect(stage.heard).toHaveLength(1);
  });

  test("is told even when there is none, so that the hold is confirmed", async () => {
    const stage = new Stage();
    stage.running = 4;
    void stage.permits.tell();
    await settled();
    expect(stage.last.said).toMatchObject({
      held: 4,
      costs: [],
      ready: expect.any(Number),
      ...QUIET,
    });
  });

  test("of a tell during an ask is not told before that one is answered", async () => {
    const stage = new Stage();
    void stage.permits.turn("h1", 1);
    await settled();
    void stage.permits.tell();
    await settled();
    await settled();
    expect(stage.heard).toHaveLength(1);
    await stage.last.grant([0]);
    expect(stage.heard).toHaveLength(2);
  });
});

describe("a Limiter that throws", () => {
  test("gives no task and a time to ask again, to everybody who waits", async () => {
    const stage = new Stage();
    void stage.permits.turn("h0", 1);
    await settled();
    const turns = [stage.permits.turn("h1", 1), stage.permits.turn("h2", 1)];
    await settled();
    await stage.last.grant([0]);
    await stage.last.refuse();
    for (const turn of await Promise.all(turns)) {
      expect(turn).toMatchObject({ tasks: [], invite: null });
      expect(turn.retryInMs).toBeGreaterThan(0);
    }
  });

  test("is asked again by the next turn", async () => {
    const stage = new Stage();
    void stage.permits.turn("h1", 1);
    await settled();
    await stage.last.refuse();
    const turn = stage.permits.turn("h1", 1);
    await settled();
    await stage.last.grant([0]);
    expect((await turn).tasks).toHaveLength(1);
  });

  test("does not make a tell throw, nor ask again without end", async () => {
    const stage = new Stage();
    const told = stage.permits.tell();
    await settled();
    await stage.last.refuse();
    await told;
    expect(stage.heard).toHaveLength(1);
  });

  test("is told the news again with the next ask", async () => {
    const stage = new Stage();
    stage.permits.note({ extraTokens: 5, throttled: { afterMs: 20_000 }, answered: true });
    void stage.permits.turn("h1", 1);
    await settled();
    await stage.last.refuse();
    stage.permits.note({ extraTokens: 2, throttled: undefined, answered: false });
    void stage.permits.turn("h1", 1);
    await settled();
    expect(stage.last.said).toMatchObject({
      extraTokens: 7,
      throttled: { afterMs: 20_000 },
      answered: true,
    });
  });
});

describe("a claim that throws", () => {
  test("ends the turn without tasks, and later turns get theirs", async () => {
    const stage = new Stage();
    const told = stage.permits.tell();
    await settled();
    const turns = [stage.permits.turn("h1", 1)];
    await settled();
    await stage.last.grant([]);
    stage.claimFails = true;
    await stage.last.grant([0]);
    // The permit that was not used is given back.
    expect(stage.last.said).toMatchObject({ held: 0, costs: [] });
    await stage.last.grant([]);
    expect(await told).toBe(true);
    expect(await turns[0]).toMatchObject({ tasks: [], invite: null });
    stage.claimFails = false;
    turns.push(stage.permits.turn("h2", 1));
    await settled();
    await stage.last.grant([0]);
    expect((await turns[1])?.tasks).toHaveLength(1);
  });
});

describe("a holder that speaks again", () => {
  const NOTHING: Partial<Turn> = { tasks: [], retryInMs: null, invite: null };

  test("gets nothing for its turn of the ask under way, and nothing is claimed for it", async () => {
    const stage = new Stage();
    const before = stage.permits.turn("h1", 2);
    await settled();
    stage.permits.drop("h1");
    expect(await before).toMatchObject(NOTHING);
    const after = stage.permits.turn("h1", 3);
    await settled();
    await stage.last.grant([0, 0]);
    expect(stage.claims).toEqual([]);
    expect(stage.last.said).toMatchObject({ held: 0, costs: [10, 11, 12] });
    await stage.last.grant([1, 2, 3]);
    expect((await after).tasks).toHaveLength(3);
    expect(stage.claims).toEqual([{ holder: "h1", startInMs: [1, 2, 3] }]);
  });

  test("gets nothing for its turn that is queued, which is not asked for", async () => {
    const stage = new Stage();
    void stage.permits.turn("h0", 1);
    await settled();
    const before = stage.permits.turn("h1", 2);
    await settled();
    stage.permits.drop("h1");
    expect(await before).toMatchObject(NOTHING);
    const after = stage.permits.turn("h1", 3);
    await settled();
    await stage.last.grant([0]);
    expect(stage.last.said.costs).toHaveLength(3);
    await stage.last.grant([1, 2, 3]);
    expect((await after).tasks).toHaveLength(3);
    expect(stage.claims.map(({ holder }) => holder)).toEqual(["h0", "h1"]);
  });

  test("is not asked for when it spoke again before the ask went out", async () => {
    const stage = new Stage();
    const before = stage.permits.turn("h1", 2);
    stage.permits.drop("h1");
    expect(await before).toMatchObject(NOTHING);
    await settled();
    expect(stage.heard).toEqual([]);
    void stage.permits.turn("h1", 1);
    await settled();
    expect(stage.last.said.costs).toHaveLength(1);
  });

  test("loses all its earlier turns, and the others keep theirs", async () => {
    const stage = new Stage();
    const first = stage.permits.turn("h1", 1);
    await settled();
    const queued = ["h1", "h2", "h1", "h3"].map((holder) => stage.permits.turn(holder, 1));
    await settled();
    stage.permits.drop("h1");
    expect(await first).toMatchObject(NOTHING);
    await stage.last.grant([9]);
    expect(stage.last.said.costs).toHaveLength(2);
    await stage.last.grant([1, 2]);
    const starts = (await Promise.all(queued)).map(({ tasks }) => tasks[0]?.startInMs);
    expect(starts).toEqual([undefined, 1, undefined, 2]);
    expect(stage.claims.map(({ holder }) => holder)).toEqual(["h2", "h3"]);
  });

  test("leaves its permits and the invitation of the ask under way to those beside it", async () => {
    const stage = new Stage();
    void stage.permits.turn("h0", 1);
    await settled();
    const turns = ["h1", "h2"].map((holder) => stage.permits.turn(holder, 2));
    await settled();
    await stage.last.grant([0]);
    stage.permits.drop("h1");
    await stage.last.grant([1, 2, 3, 4], { invite: INVITED });
    const [dropped, other] = await Promise.all(turns);
    expect(dropped).toMatchObject(NOTHING);
    expect(other?.tasks.map(({ startInMs }) => startInMs)).toEqual([1, 2]);
    expect(other?.invite).toEqual(INVITED);
    expect(stage.last.said).toMatchObject({ held: 3, costs: [] });
  });

  test("loses nothing when it waits for nothing", async () => {
    const stage = new Stage();
    stage.permits.drop("h1");
    const turn = stage.permits.turn("h1", 1);
    await settled();
    stage.permits.drop("h2");
    await stage.last.grant([0]);
    expect((await turn).tasks).toHaveLength(1);
  });
});

describe("a holder waits", () => {
  test("from its turn to the answer, queued or in the ask under way", async () => {
    const stage = new Stage();
    const waits = () => ["h1", "h2"].map((holder) => stage.permits.waits(holder));
    expect(waits()).toEqual([false, false]);
    void stage.permits.turn("h1", 1);
    await settled();
    void stage.permits.turn("h2", 1);
    await settled();
    expect(waits()).toEqual([true, true]);
    await stage.last.grant([0]);
    expect(waits()).toEqual([false, true]);
    await stage.last.grant([0]);
    expect(waits()).toEqual([false, false]);
  });

  test("until the Limiter threw", async () => {
    const stage = new Stage();
    void stage.permits.turn("h1", 1);
    await settled();
    await stage.last.refuse();
    expect(stage.permits.waits("h1")).toBe(false);
  });

  test("no more after it was dropped, until it asks again", async () => {
    const stage = new Stage();
    void stage.permits.turn("h1", 1);
    await settled();
    stage.permits.drop("h1");
    expect(stage.permits.waits("h1")).toBe(false);
    void stage.permits.turn("h1", 1);
    await settled();
    expect(stage.permits.waits("h1")).toBe(true);
  });
});

describe("what the Limiter is owed", () => {
  test("is the number in flight until it was told, as after a restart", async () => {
    const stage = new Stage();
    expect(stage.permits.owes()).toBe(true);
    void stage.permits.tell();
    await settled();
    await stage.last.grant([]);
    expect(stage.permits.owes()).toBe(false);
  });

  test("is nothing after a turn whose permits were all used, and something once a call ended", async () => {
    const stage = new Stage();
    void stage.permits.turn("h1", 2);
    await settled();
    await stage.last.grant([0, 0]);
    expect(stage.permits.owes()).toBe(false);
    expect(stage.heard).toHaveLength(1);
    stage.running -= 1;
    expect(stage.permits.owes()).toBe(true);
    void stage.permits.tell();
    await settled();
    await stage.last.grant([]);
    expect(stage.permits.owes()).toBe(false);
  });

  test("is the number after an ask that failed: its permits may have been granted", async () => {
    const stage = new Stage();
    void stage.permits.turn("h1", 1);
    await settled();
    await stage.last.grant([0]);
    void stage.permits.turn("h1", 1);
    await settled();
    await stage.last.refuse();
    expect(stage.permits.owes()).toBe(true);
    expect(stage.heard).toHaveLength(2);
    void stage.permits.tell();
    await settled();
    expect(stage.last.said).toMatchObject({ held: 1, costs: [] });
    await stage.last.grant([]);
    expect(stage.permits.owes()).toBe(false);
  });

  test.each<[string, (stage: Stage) => void, number]>([
    ["the batch ended", (stage) => Object.assign(stage, { open: 0 }), 0],
    ["fewer tasks were left", (stage) => Object.assign(stage, { open: 1 }), 1],
    ["the claim threw", (stage) => Object.assign(stage, { claimFails: true }), 0],
    ["the holder spoke again", (stage) => stage.permits.drop("h1"), 0],
  ])("is told by itself, once, when %s before its permits came", async (_, happens, held) => {
    const stage = new Stage();
    void stage.permits.turn("h1", 3);
    await settled();
    happens(stage);
    await stage.last.grant([0, 0, 0]);
    expect(stage.heard).toHaveLength(2);
    expect(stage.last.said).toMatchObject({ held, costs: [], ...QUIET });
    await stage.last.grant([]);
    expect(stage.heard).toHaveLength(2);
    expect(stage.permits.owes()).toBe(false);
  });

  test("stays owed when telling it failed, and is told with the next turn", async () => {
    const stage = new Stage();
    void stage.permits.turn("h1", 3);
    await settled();
    stage.open = 0;
    await stage.last.grant([0, 0, 0]);
    await stage.last.refuse();
    expect(stage.permits.owes()).toBe(true);
    expect(stage.heard).toHaveLength(2);
    void stage.permits.turn("h1", 1);
    await settled();
    expect(stage.last.said).toMatchObject({ held: 0, ready: 0 });
    await stage.last.grant([]);
    expect(stage.permits.owes()).toBe(false);
  });
});

describe("a tell", () => {
  test("says whether it got there", async () => {
    const stage = new Stage();
    const lost = stage.permits.tell();
    await settled();
    await stage.last.refuse();
    expect(await lost).toBe(false);
    const heard = stage.permits.tell();
    await settled();
    await stage.last.grant([]);
    expect(await heard).toBe(true);
  });

  test.each([true, false])(
    "during an ask under way says whether its own ask got there: %j",
    async (reaches) => {
      const stage = new Stage();
      void stage.permits.turn("h1", 1);
      await settled();
      const told = stage.permits.tell();
      await settled();
      await stage.last.grant([0]);
      if (reaches) await stage.last.grant([]);
      else await stage.last.refuse();
      expect(await told).toBe(reaches);
    },
  );

  test("during an ask that fails did not get there, and asks no more by itself", async () => {
    const stage = new Stage();
    void stage.permits.turn("h1", 1);
    await settled();
    const told = stage.permits.tell();
    await settled();
    await stage.last.refuse();
    expect(await told).toBe(false);
    expect(stage.heard).toHaveLength(1);
  });
});
