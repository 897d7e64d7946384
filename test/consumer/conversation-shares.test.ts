import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Lanes } from "../../src/consumer/lanes.ts";
import { type Api, Desk, pass, standIn, stepBack } from "../support/talk.ts";

let api: Api;
beforeEach(() => {
  api = standIn();
});
afterEach(stepBack);

describe("twenty conversations that share lanes", () => {
  test.each([1, 5, 20])(
    "and are granted nothing speak a few times a second each, answered in %i ms",
    async (replyMs) => {
      const lanes = new Lanes(6);
      const desks = Array.from(
        { length: 20 },
        (_, index) => new Desk(lanes, `b${index}-`, false, replyMs),
      );
      await pass(1_000);
      for (const { requests } of desks) {
        expect(requests.length).toBeLessThanOrEqual(20);
        // Each of them had lanes to ask with.
        expect(requests.some(({ request }) => request.want > 0)).toBe(true);
      }
      await pass(9_000);
      for (const { requests } of desks) expect(requests.length).toBeLessThanOrEqual(200);
    },
  );

  test("speak no more often for being many", async () => {
    const countOf = async (size: number) => {
      const lanes = new Lanes(6);
      const desks = Array.from(
        { length: size },
        (_, index) => new Desk(lanes, `n${index}-`, false),
      );
      await pass(5_000);
      return desks.reduce((sum, { requests }) => sum + requests.length, 0) / size;
    };
    expect(await countOf(40)).toBeLessThanOrEqual((await countOf(2)) * 2);
  });

  test("speak once a call when all have work, and all get to call", async () => {
    api.latencyMs = () => 100;
    const lanes = new Lanes(6);
    const desks = Array.from({ length: 20 }, (_, index) => new Desk(lanes, `b${index}-`, true));
    await pass(10_000);
    const exchanges = desks.reduce((sum, { requests }) => sum + requests.length, 0);
    expect(api.calls.length).toBeGreaterThan(0.8 * 6 * (10_000 / 105));
    // One that takes a task, one that reports it, and the first.
    expect(exchanges).toBeLessThanOrEqual(2 * api.calls.length + 2 * desks.length);
    for (const { takenAtMs } of desks) expect(takenAtMs.length).toBeGreaterThan(0);
  });
});

describe("two busy conversations that share six lanes", () => {
  const CALL_MS = 100;

  test.each([
    ["end together", () => CALL_MS],
    ["end one by one", (body: string) => CALL_MS - 3 * (Number(body.slice(1)) % 10)],
  ])("get lanes within one call of each other when their calls %s", async (_, latencyMs) => {
    api.latencyMs = latencyMs;
    const lanes = new Lanes(6);
    const first = new Desk(lanes, "a", true);
    await pass(1_000);
    expect(api.inFlight).toBe(6);
    const before = first.takenAtMs.length;
    const second = new Desk(lanes, "b", true);
    const joinedMs = Date.now();
    await pass(10_000);
    const starts = second.takenAtMs;
    expect(starts[0]).toBeLessThanOrEqual(joinedMs + CALL_MS + 3 * 5);
    const shares = [first.takenAtMs.length - before, starts.length];
    expect(Math.min(...shares) / Math.max(...shares)).toBeGreaterThan(0.9);
    for (const { takenAtMs } of [first, second]) {
      // A call's time, and the two exchanges around it.
      const gaps = takenAtMs.slice(1).map((atMs, index) => atMs - (takenAtMs[index] ?? 0));
      expect(Math.max(...gaps)).toBeLessThanOrEqual(CALL_MS + 3 * 5);
    }
    expect(api.calls.length).toBeGreaterThan(0.8 * 6 * (11_000 / (CALL_MS + 5)));
  });

  test("share them about evenly when their calls do not end together", async () => {
    let seed = 7;
    api.latencyMs = () => {
      seed = (seed * 48_271) % 2_147_483_647;
      return 50 + (seed % 100);
    };
    const lanes = new Lanes(6);
    const first = new Desk(lanes, "a", true);
    await pass(1_000);
    const before = first.takenAtMs.length;
    const second = new Desk(lanes, "b", true);
    await pass(20_000);
    const [a, b] = [first.takenAtMs.length - before, second.takenAtMs.length];
    expect(Math.min(a, b) / (a + b)).toBeGreaterThan(0.4);
  });
});
