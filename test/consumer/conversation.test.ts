import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Lanes } from "../../src/consumer/lanes.ts";
import {
  type Api,
  claims,
  HEARTBEAT_MS,
  pass,
  seqsOf,
  standIn,
  stepBack,
  Talk,
  task,
  tasks,
} from "../support/talk.ts";

let api: Api;
beforeEach(() => {
  api = standIn();
});
afterEach(stepBack);

describe("a conversation", () => {
  test("wants as many tasks as it has lanes, and calls the upstream for those it gets", async () => {
    const talk = new Talk(3, { invited: true });
    expect(talk.last.request).toEqual({
      holder: "h1",
      invited: true,
      reports: [],
      holding: [],
      want: 3,
      leaving: false,
    });
    await talk.last.answer({ tasks: tasks(1, 2) });
    expect(api.calls).toEqual(["a1", "a2"]);
    expect(talk.lanes.take()).toBe(1);
  });

  test("starts a call when its permit starts, and not before", async () => {
    const talk = new Talk(2);
    await talk.last.answer({ tasks: [task(1), { ...task(2), startInMs: 200 }] });
    expect(api.calls).toEqual(["a1"]);
    await pass(199);
    expect(api.calls).toEqual(["a1"]);
    await pass(1);
    expect(api.calls).toEqual(["a1", "a2"]);
  });

  test("is ended by the Batch, and gives all its lanes back", async () => {
    const talk = new Talk(3);
    await talk.last.answer({ end: true });
    expect(talk.ended).toBe(true);
    expect(talk.lanes.take()).toBe(3);
  });

  test("reports what came in during the exchange that ended it, before it ends", async () => {
    const talk = new Talk(2);
    await talk.last.answer({ tasks: tasks(1, 2) });
    await api.end([1]);
    await api.end([2]);
    await talk.last.answer({ end: true });
    expect(talk.ended).toBe(false);
    expect(seqsOf(talk.last.request)).toEqual([2]);
    await talk.last.answer({ end: true });
    expect(talk.ended).toBe(true);
  });

  test("that is ended while it stands in line leaves the line", async () => {
    const lanes = new Lanes(1);
    const cancelled = new Talk(lanes);
    await cancelled.last.answer({ tasks: tasks(1) });
    const other = new Talk(lanes, { holder: "h2" });
    await other.last.answer();
    await pass(HEARTBEAT_MS);
    await other.last.answer();
    await cancelled.last.answer({ end: true });
    expect(cancelled.ended).toBe(true);
    await api.end([1]);
    expect(other.last.request.want).toBe(1);
  });

  test("that is ended gives back the lanes it was granted meanwhile", async () => {
    const lanes = new Lanes(1);
    const other = new Talk(lanes, { holder: "h2" });
    const idle = new Talk(lanes);
    await idle.last.answer();
    await pass(HEARTBEAT_MS);
    // It stands in line and speaks, and the lane comes free.
    await other.last.answer({ end: true });
    expect(lanes.take()).toBe(0);
    await idle.last.answer({ end: true });
    expect(lanes.take()).toBe(1);
  });

  test("passes invitations on, and counts its calls and exchanges", async () => {
    const other = { project: "p", batch_id: "batch_other" };
    const talk = new Talk(2);
    await talk.last.answer({ tasks: tasks(1, 2), invite: other });
    expect(talk.invited).toEqual([other]);
    // Two exchanges, a call, and the wish to be called.
    expect(talk.spent).toBe(4);
  });
});

describe("a call that ends", () => {
  test("refills its lane without waiting for the others", async () => {
    const talk = new Talk(2);
    await talk.last.answer({ tasks: tasks(1, 2) });
    for (const seq of [2, 3, 4, 5]) {
      await api.end([seq]);
      expect(talk.last.request).toMatchObject({ want: 1, holding: claims(1) });
      expect(seqsOf(talk.last.request)).toEqual([seq]);
      await talk.last.answer({ tasks: tasks(seq + 1) });
      expect(api.calls.at(-1)).toBe(`a${seq + 1}`);
    }
    expect(api.inFlight).toBe(2);
  });

  test("gives its lane to another conversation that waits for one", async () => {
    const lanes = new Lanes(1);
    const busy = new Talk(lanes);
    await busy.last.answer({ tasks: tasks(1) });
    const other = new Talk(lanes, { holder: "h2" });
    expect(other.last.request.want).toBe(0);
    await other.last.answer();
    await api.end([1]);
    // The busy one stood in line first, and goes behind the other after its turn.
    await busy.last.answer({ tasks: tasks(2) });
    await api.end([2]);
    expect(busy.last.request.want).toBe(0);
    expect(other.last.request.want).toBe(1);
  });
});

describe("a conversation whose time is over", () => {
  test("takes no tasks, waits for its calls in flight, and then ends", async () => {
    const talk = new Talk(3);
    await talk.last.answer({ tasks: tasks(1, 2), waitMs: 300 });
    talk.over = true;
    await api.end([1]);
    expect(talk.last.request).toMatchObject({ leaving: true, want: 0, holding: claims(2) });
    expect(seqsOf(talk.last.request)).toEqual([1]);
    await talk.last.answer();
    await pass(9_000);
    expect(talk.heard).toHaveLength(2);
    expect(talk.ended).toBe(false);
    await api.end([2]);
    expect(talk.last.request).toMatchObject({ leaving: true, want: 0, holding: [] });
    expect(seqsOf(talk.last.request)).toEqual([2]);
    await talk.last.answer({ end: true });
    expect(talk.ended).toBe(true);
    expect(talk.lanes.take()).toBe(3);
  });

  test("leaves its lanes to the others", async () => {
    const lanes = new Lanes(2);
    const leaver = new Talk(lanes);
    await leaver.last.answer({ tasks: tasks(1, 2) });
    leaver.over = true;
    const other = new Talk(lanes, { holder: "h2" });
    await other.last.answer();
    await api.end([1, 2]);
    expect(leaver.last.request).toMatchObject({ want: 0, leaving: true });
    expect(other.last.request.want).toBeGreaterThan(0);
    await other.last.answer();
    await pass(1_000);
    expect(other.last.request.want).toBe(2);
  });

  test("is heard while its last call runs on", async () => {
    const talk = new Talk(1);
    await talk.last.answer({ tasks: tasks(1) });
    talk.over = true;
    for (let beat = 1; beat <= 3; beat += 1) {
      await pass(HEARTBEAT_MS);
      expect(talk.heard).toHaveLength(1 + beat);
      expect(talk.last.request).toMatchObject({ leaving: true, holding: claims(1) });
      await talk.last.answer();
    }
  });
});

describe("a long call", () => {
  test("keeps its conversation heard, with what it holds, and no more often than needed", async () => {
    const talk = new Talk(1);
    await talk.last.answer({ tasks: tasks(1) });
    const startMs = Date.now();
    for (let beat = 1; beat <= 4; beat += 1) {
      await pass(HEARTBEAT_MS);
      expect(talk.heard).toHaveLength(1 + beat);
      expect(talk.last.atMs).toBe(startMs + beat * HEARTBEAT_MS);
      expect(talk.last.request).toMatchObject({ reports: [], holding: claims(1), want: 0 });
      await talk.last.answer();
    }
    await api.end([1]);
    expect(seqsOf(talk.last.request)).toEqual([1]);
  });
});

test("a task for an upstream that is not known here is not begun, and the invocation leaves", async () => {
  const talk = new Talk(3);
  await talk.last.answer({ tasks: [task(0), { ...task(1), upstream: "of a newer deploy" }] });
  expect(api.calls).toEqual(["a0"]);
  // It holds the first alone, so the Batch takes the other back; it asks for no more.
  expect(talk.last.request).toMatchObject({ reports: [], want: 0, leaving: true });
  expect(talk.last.request.holding).toEqual([{ seq: 0, attempt: 1 }]);
});
