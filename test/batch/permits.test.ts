import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Turn } from "../../src/batch/permits.ts";
import { ANSWERED, INVITED, QUIET, Stage, settled } from "../support/stage.ts";

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
