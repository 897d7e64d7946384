import { describe, expect, test } from "vitest";
import type { News } from "../../src/batch/permits.ts";
import { ANSWERED, QUIET, Stage, settled } from "../support/stage.ts";

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
