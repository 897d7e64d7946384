import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Lanes } from "../../src/consumer/lanes.ts";
import { Memory } from "../../src/consumer/memory.ts";
import { Slots } from "../../src/consumer/slots.ts";
import {
  type Api,
  claims,
  HEARTBEAT_MS,
  pass,
  seqsOf,
  standIn,
  stepBack,
  Talk,
  tasks,
} from "../support/talk.ts";

let api: Api;
beforeEach(() => {
  api = standIn();
});
afterEach(stepBack);

describe("reports", () => {
  test("that come while an exchange is under way go out together with the next one", async () => {
    const talk = new Talk(6);
    await talk.last.answer({ tasks: tasks(1, 2, 3, 4, 5, 6) });
    await api.end([1]);
    expect(talk.heard).toHaveLength(2);
    await api.end([2, 3, 4, 5, 6]);
    await pass(1_000);
    expect(talk.heard).toHaveLength(2);
    expect(seqsOf(talk.last.request)).toEqual([1]);
    await talk.last.answer();
    expect(talk.heard).toHaveLength(3);
    expect(seqsOf(talk.last.request)).toEqual([2, 3, 4, 5, 6]);
    expect(talk.last.request).toMatchObject({ holding: [], want: 6 });
    await talk.last.answer();
    await pass(1_000);
    expect(talk.heard.slice(3).flatMap(({ request }) => seqsOf(request))).toEqual([]);
  });

  test("go out as soon as they are there, though lanes are free and rest", async () => {
    const talk = new Talk(2);
    await talk.last.answer({ tasks: tasks(1), waitMs: 400 });
    await pass(10);
    await api.end([1]);
    expect(talk.heard).toHaveLength(2);
    expect(seqsOf(talk.last.request)).toEqual([1]);
  });

  describe("while many calls are in flight", () => {
    /** A conversation with calls that take 100 ms, begun by an exchange that took as long. */
    async function busy(calls: number, exchangeMs: number): Promise<Talk> {
      const talk = new Talk(calls, { slots: new Slots(calls) });
      await pass(exchangeMs);
      await talk.last.answer({ tasks: tasks(...Array.from({ length: calls }, (_, n) => n)) });
      await pass(100);
      return talk;
    }

    test("wait for others that are likely soon, and go out together", async () => {
      const talk = await busy(50, 8);
      await api.end([0]);
      await pass(4);
      await api.end([1, 2]);
      expect(talk.heard).toHaveLength(1);
      await pass(4);
      expect(talk.heard).toHaveLength(2);
      expect(seqsOf(talk.last.request)).toEqual([0, 1, 2]);
    });

    test("wait no longer than a tenth of a call's time, however slow exchanges are", async () => {
      const talk = await busy(50, 3_000);
      await api.end([0]);
      await pass(9);
      expect(talk.heard).toHaveLength(1);
      await pass(1);
      expect(talk.heard).toHaveLength(2);
    });

    test("go out at once when no other is likely while an exchange takes", async () => {
      const talk = await busy(9, 8);
      await api.end([0]);
      expect(seqsOf(talk.last.request)).toEqual([0]);
    });
  });

  describe("while there is no call for the batch before a time", () => {
    /** A conversation with five calls in flight whose Batch has nothing for it for a while. */
    async function resting(patienceMs: number): Promise<Talk> {
      const talk = new Talk(9);
      await talk.last.answer({ tasks: tasks(0, 1, 2, 3, 4), waitMs: patienceMs, patienceMs });
      return talk;
    }

    test("go out together then, as asking sooner hastens nothing", async () => {
      const talk = await resting(80);
      await pass(10);
      await api.end([0, 1]);
      await pass(60);
      await api.end([2]);
      expect(talk.heard).toHaveLength(1);
      await pass(10);
      expect(seqsOf(talk.last.request)).toEqual([0, 1, 2]);
    });

    test("wait a tenth of a second and no longer, so that little is lost with a consumer", async () => {
      const talk = await resting(60_000);
      await api.end([0]);
      await pass(99);
      expect(talk.heard).toHaveLength(1);
      await pass(1);
      expect(seqsOf(talk.last.request)).toEqual([0]);
    });

    test("go out at once with the last call's", async () => {
      const talk = await resting(80);
      await api.end([0, 1, 2, 3, 4]);
      expect(seqsOf(talk.last.request)).toEqual([0, 1, 2, 3, 4]);
    });

    test("go out at once with a 429, which the calls of others must hear of", async () => {
      const talk = await resting(80);
      await api.end([0]);
      await api.refuse(1);
      expect(seqsOf(talk.last.request)).toEqual([0, 1]);
    });
  });

  test("of more than 1,000,000 characters are spread over exchanges, each said once", async () => {
    const talk = new Talk(8);
    await talk.last.answer({ tasks: tasks(0, 1, 2, 3, 4, 5, 6, 7) });
    await api.end([0]);
    await api.end([1, 2, 3, 4, 5, 6], JSON.stringify("x".repeat(224_998)));
    await talk.last.answer();
    expect(seqsOf(talk.last.request)).toEqual([1, 2, 3, 4]);
    // Those of the next exchange are still its own: the Batch must not take them back.
    expect(talk.last.request.holding).toEqual(expect.arrayContaining(claims(5, 6, 7)));
    expect(talk.last.request.holding).toHaveLength(3);
    await talk.last.answer();
    expect(seqsOf(talk.last.request)).toEqual([5, 6]);
    expect(talk.last.request.holding).toEqual(claims(7));
    for (const { request } of talk.heard) {
      const characters = request.reports.reduce(
        (sum, { result }) => sum + (result.kind === "answered" ? result.body.length : 0),
        0,
      );
      expect(characters).toBeLessThanOrEqual(1_000_000);
    }
  });

  test("that are spread over exchanges do not end with the first of them", async () => {
    const talk = new Talk(6);
    await talk.last.answer({ tasks: tasks(0, 1, 2, 3, 4, 5) });
    await api.end([0]);
    await api.end([1, 2, 3, 4, 5], JSON.stringify("x".repeat(224_998)));
    await talk.last.answer();
    await talk.last.answer({ end: true });
    expect(talk.ended).toBe(false);
    expect(seqsOf(talk.last.request)).toEqual([5]);
  });
});

describe("memory", () => {
  test("without room for more bodies has no tasks taken, until a call ends", async () => {
    const memory = new Memory({ answerBytes: 1e9, bodyChars: 4 });
    const talk = new Talk(6, { memory });
    await talk.last.answer({ tasks: tasks(1, 2) });
    await pass(100);
    expect(talk.heard).toHaveLength(2);
    expect(talk.last.request.want).toBe(0);
    await talk.last.answer();
    // Its lanes are for others meanwhile, and it does not ask in circles.
    expect(talk.lanes.take()).toBe(4);
    talk.lanes.give(4);
    for (let second = 0; second < 3; second += 1) {
      await pass(1_000);
      await talk.last.answer();
    }
    expect(talk.heard.length).toBeLessThan(10);
    await api.end([1]);
    expect(talk.last.request.want).toBe(5);
  });

  test("holds answers until the Batch has them", async () => {
    const memory = new Memory({ answerBytes: 30, bodyChars: 1e9 });
    const talk = new Talk(4, { memory });
    await talk.last.answer({ tasks: tasks(1, 2, 3, 4) });
    // Of two bytes a character, the first fits, the second is over it, the others wait.
    await api.end([1, 2, 3, 4], JSON.stringify("x".repeat(10)));
    expect(seqsOf(talk.last.request)).toEqual([1]);
    await talk.last.answer();
    expect(seqsOf(talk.last.request)).toEqual([2]);
    await talk.last.answer();
    expect(seqsOf(talk.last.request)).toEqual([3]);
    await talk.last.answer();
    expect(seqsOf(talk.last.request)).toEqual([4]);
  });
});

describe("an exchange that fails", () => {
  test("is said again with the same reports first, and holds exactly the calls in flight", async () => {
    const talk = new Talk(4);
    await talk.last.answer({ tasks: tasks(1, 2, 3, 4) });
    await api.end([1]);
    await api.end([2]);
    // What this answer would have given is never heard of, and so not held.
    await talk.last.fail();
    await api.end([3]);
    expect(talk.heard).toHaveLength(2);
    await pass(200);
    expect(talk.heard).toHaveLength(3);
    expect(seqsOf(talk.last.request)).toEqual([1, 2, 3]);
    expect(talk.last.request).toMatchObject({ holding: claims(4), want: 3 });
    await talk.last.fail();
    await pass(400);
    expect(seqsOf(talk.last.request)).toEqual([1, 2, 3]);
    expect(talk.last.request.holding).toEqual(claims(4));
    await talk.last.answer();
    await pass(5_000);
    expect(talk.heard.slice(4).flatMap(({ request }) => seqsOf(request))).toEqual([]);
  });

  test("gives its lanes to others meanwhile", async () => {
    const talk = new Talk(2);
    await talk.last.fail();
    expect(talk.lanes.take()).toBe(2);
    await pass(200);
    expect(talk.last.request.want).toBe(0);
  });

  test("holds no lanes that others could use, those it stands in line for included", async () => {
    const lanes = new Lanes(2);
    const broken = new Talk(lanes);
    await broken.last.answer({ tasks: tasks(1, 2) });
    const other = new Talk(lanes, { holder: "h2" });
    await other.last.answer();
    await pass(HEARTBEAT_MS);
    await other.last.answer();
    // Both stand in line; the broken one is first.
    await broken.last.fail();
    await api.end([1]);
    expect(other.last.request.want).toBeGreaterThan(0);
  });

  test("is waited after for longer each time, and given up after twenty in a row", async () => {
    const talk = new Talk(2);
    for (let failed = 1; failed < 20; failed += 1) {
      await talk.last.fail();
      await pass(Math.min(5_000, 100 * 2 ** failed) - 1);
      expect(talk.heard).toHaveLength(failed);
      await pass(1);
      expect(talk.heard).toHaveLength(failed + 1);
    }
    expect(talk.ended).toBe(false);
    await talk.last.fail();
    await pass(5_000);
    expect(talk.ended).toBe(true);
    expect(talk.heard).toHaveLength(20);
    expect(talk.lanes.take()).toBe(2);
  });

  test("counts anew after one that was answered", async () => {
    const talk = new Talk(2);
    for (let round = 0; round < 30; round += 1) {
      await talk.last.fail();
      await pass(5_000);
      await talk.last.answer();
      await pass(5_000);
    }
    expect(talk.ended).toBe(false);
  });
});

describe("an exchange that is never answered", () => {
  test("is taken for lost after a minute, and said again", async () => {
    const talk = new Talk(2);
    await talk.last.answer({ tasks: tasks(1, 2) });
    await api.end([1]);
    expect(talk.heard).toHaveLength(2);
    await pass(59_999);
    await api.end([2]);
    expect(talk.heard).toHaveLength(2);
    await pass(1);
    await pass(200);
    expect(talk.heard).toHaveLength(3);
    expect(seqsOf(talk.last.request)).toEqual([1, 2]);
    expect(talk.last.request).toMatchObject({ want: 2, holding: [] });
  });

  test("has its tasks not called when its answer comes after all", async () => {
    const talk = new Talk(2);
    const [late] = talk.heard;
    await pass(60_200);
    expect(talk.heard).toHaveLength(2);
    await late?.answer({ tasks: tasks(1, 2) });
    expect(api.calls).toEqual([]);
    await talk.last.answer({ tasks: tasks(3) });
    expect(api.calls).toEqual(["a3"]);
  });
});
