import { describe, expect, test } from "vitest";
import type { Turn } from "../../src/batch/permits.ts";
import { INVITED, Stage, settled } from "../support/stage.ts";

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

test("nobody is told to come for calls that are kept when no task is left for them", async () => {
  for (const [open, calls] of [
    [3, 1],
    [2, 0],
  ] as const) {
    const stage = new Stage(open);
    void stage.permits.turn("h1", 2);
    await settled();
    await stage.last.grant([0, 0], { kept: true });
    expect(stage.calls).toBe(calls);
  }
});
