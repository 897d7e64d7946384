import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { type Amount, afford, type Means, type Need, reserveFrom } from "../../src/core/budget.ts";
import { costOf } from "../../src/core/price.ts";

const price = { input: 1_000_000, cachedInput: 500_000, output: 4_000_000 };
const NO_LIMIT = Number.POSITIVE_INFINITY;
const means = (change: Partial<Means> = {}): Means => ({
  left: { tokens: 100, cost: NO_LIMIT },
  unspent: { tokens: 100, cost: NO_LIMIT },
  alone: true,
  longestOutput: 0,
  ...change,
});
const need = (change: Partial<Need> = {}): Need => ({
  inputTokens: 10,
  outputTokens: 20,
  price: undefined,
  ...change,
});

describe("a call whose body limits its output", () => {
  it("fits while its input and all its output do, to the last token", () => {
    const left = { tokens: 30, cost: NO_LIMIT };
    expect(afford(need(), means({ left }))).toEqual({
      kind: "fits",
      reserve: { tokens: 30, cost: 0 },
    });
  });

  it("waits while what is in flight may leave enough for it", () => {
    const left = { tokens: 29, cost: NO_LIMIT };
    const unspent = { tokens: 30, cost: NO_LIMIT };
    expect(afford(need(), means({ left, unspent, alone: false })).kind).toBe("waits");
  });

  it("is stopped once too much is spent, whatever is in flight", () => {
    const unspent = { tokens: 29, cost: NO_LIMIT };
    expect(afford(need(), means({ left: unspent, unspent })).kind).toBe("stopped");
    const busy = means({ left: { tokens: 0, cost: NO_LIMIT }, unspent, alone: false });
    expect(afford(need(), busy).kind).toBe("stopped");
  });

  it("counts money by the price of its model", () => {
    const of = need({ price });
    const cost = 10 * 1 + 20 * 4;
    const left = (nanos: number) => ({ tokens: NO_LIMIT, cost: nanos });
    expect(afford(of, means({ left: left(cost), unspent: left(cost) }))).toEqual({
      kind: "fits",
      reserve: { tokens: 30, cost },
    });
    const short = left(cost - 1);
    expect(afford(of, means({ left: short, unspent: short })).kind).toBe("stopped");
  });
});

describe("a call whose body sets no limit to its output", () => {
  const open = need({ outputTokens: null });

  it("is taken to be as long as the longest so far", () => {
    expect(afford(open, means({ longestOutput: 40, alone: false }))).toEqual({
      kind: "fits",
      reserve: { tokens: 50, cost: 0 },
    });
  });

  it("goes alone before any length is known, with all that is left", () => {
    expect(afford(open, means())).toEqual({ kind: "fits", reserve: { tokens: 100, cost: 0 } });
    expect(afford(open, means({ alone: false })).kind).toBe("waits");
  });

  it("goes alone when the longest would not fit any more", () => {
    expect(afford(open, means({ longestOutput: 1_000 }))).toMatchObject({
      kind: "fits",
      reserve: { tokens: 100 },
    });
    expect(afford(open, means({ longestOutput: 1_000, alone: false })).kind).toBe("waits");
  });

  it("is stopped when not even one token of output is left", () => {
    const unspent = { tokens: 10, cost: NO_LIMIT };
    expect(afford(open, means({ left: unspent, unspent })).kind).toBe("stopped");
    const more = { tokens: 11, cost: NO_LIMIT };
    expect(afford(open, means({ left: more, unspent: more })).kind).toBe("fits");
  });
});

describe("what a batch spends under a budget", () => {
  const call = fc.record({
    inputTokens: fc.integer({ min: 1, max: 50 }),
    outputTokens: fc.option(fc.integer({ min: 0, max: 50 }), { nil: null }),
    /** What it really writes, as a part of what it may. */
    writes: fc.integer({ min: 0, max: 50 }),
  });
  const budget = fc.record({
    tokens: fc.integer({ min: 1, max: 1_000 }),
    cost: fc.option(fc.integer({ min: 1, max: 3_000 }), { nil: NO_LIMIT }),
  });

  test("is never over it where bodies limit their output, and nobody waits for ever", () => {
    fc.assert(
      fc.property(fc.array(call), budget, fc.array(fc.boolean()), (calls, of, order) => {
        const spent: Amount = { tokens: 0, cost: 0 };
        const inFlight: { reserve: Amount; took: Amount; bounded: boolean }[] = [];
        const waiting = [...calls];
        let longestOutput = 0;
        let overByUnbounded = 0;
        for (let step = 0; waiting.length > 0 || inFlight.length > 0; step += 1) {
          const reserved = inFlight.reduce(
            (sum, { reserve }) => ({
              tokens: sum.tokens + reserve.tokens,
              cost: sum.cost + reserve.cost,
            }),
            { tokens: 0, cost: 0 },
          );
          const unspent = { tokens: of.tokens - spent.tokens, cost: of.cost - spent.cost };
          const left = {
            tokens: unspent.tokens - reserved.tokens,
            cost: unspent.cost - reserved.cost,
          };
          const alone = inFlight.length === 0;
          const first = waiting[0];
          const may = first && afford({ ...first, price }, { left, unspent, alone, longestOutput });
          if (first && may?.kind === "stopped") {
            waiting.shift();
          } else if (
            first &&
            may?.kind === "fits" &&
            (alone || order[step % order.length] !== false)
          ) {
            const after = reserveFrom({ left, unspent, alone, longestOutput }, may.reserve);
            expect(Math.min(after.left.tokens, after.left.cost)).toBeGreaterThanOrEqual(0);
            waiting.shift();
            const writes = Math.min(first.writes, first.outputTokens ?? first.writes);
            const usage = {
              input_tokens: first.inputTokens,
              cached_tokens: 0,
              output_tokens: writes,
            };
            inFlight.push({
              reserve: may.reserve,
              took: { tokens: first.inputTokens + writes, cost: costOf(price, usage) },
              bounded: first.outputTokens !== null,
            });
            if (may.reserve.tokens < first.inputTokens + writes) overByUnbounded += 50;
          } else {
            // Nothing in flight, and the first neither begins nor is stopped: it would wait for ever.
            if (may?.kind === "waits") expect(alone).toBe(false);
            const done = inFlight.shift();
            if (done === undefined) continue;
            spent.tokens += done.took.tokens;
            spent.cost += done.took.cost;
            longestOutput = Math.max(longestOutput, done.took.tokens);
          }
        }
        if (calls.every(({ outputTokens }) => outputTokens !== null)) {
          expect(spent.tokens).toBeLessThanOrEqual(of.tokens);
          expect(spent.cost).toBeLessThanOrEqual(of.cost);
        }
        expect(spent.tokens).toBeLessThanOrEqual(of.tokens + overByUnbounded);
      }),
    );
  });
});
