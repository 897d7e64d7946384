import { describe, expect, test } from "vitest";
import { Slots } from "../../src/consumer/slots.ts";
import { planLanes, weightOf } from "../../src/consumer/weight.ts";
import { upstreamAt } from "../support/upstream.ts";

/** Everything that is ready to happen has happened. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

describe("slots", () => {
  test("are entered up to their number, and then in the order of asking", async () => {
    const slots = new Slots(2);
    const entered: string[] = [];
    for (const name of ["a", "b", "c", "d"]) void slots.enter().then(() => entered.push(name));
    await settled();
    expect(entered).toEqual(["a", "b"]);
    slots.leave();
    await settled();
    expect(entered).toEqual(["a", "b", "c"]);
    slots.leave();
    slots.leave();
    slots.leave();
    await slots.enter();
    await slots.enter();
    expect(entered).toEqual(["a", "b", "c", "d"]);
  });
});

describe("lanes of an invocation", () => {
  const streaming = upstreamAt("http://a.test/v1", undefined, { streamChat: true });
  const plain = upstreamAt("http://b.test/v1");

  test("are as many as streamed calls, of which an unstreamed one takes several", () => {
    const plan = planLanes(6, 30);
    expect(plan).toEqual({ count: 30, unstreamed: 5 });
    expect(weightOf(plan, "/v1/chat/completions", streaming)).toBe(1);
    expect(weightOf(plan, "/v1/responses", streaming)).toBe(1);
    expect(weightOf(plan, "/v1/embeddings", streaming)).toBe(5);
    expect(weightOf(plan, "/v1/chat/completions", plain)).toBe(5);
    expect(weightOf(plan, "/v1/chat/completions", undefined)).toBe(5);
  });

  test("are connections where nothing is streamed, or where they are not scarce", () => {
    expect(planLanes(6, 0)).toEqual({ count: 6, unstreamed: 1 });
    expect(planLanes(50, 50)).toEqual({ count: 50, unstreamed: 1 });
    expect(planLanes(6, 32)).toEqual({ count: 32, unstreamed: 5 });
  });
});
