import { describe, expect, it } from "vitest";
import { newBatch, plant, report, stubOf } from "../support/worker/store.ts";

const ask = { reports: [], holding: [], invited: false, leaving: false };
const has = (...seqs: number[]) => ({ holding: seqs.map((seq) => ({ seq, attempt: 1 })) });

describe("exchange", () => {
  it("hands out tasks and takes their reports in one call", async () => {
    const batch = newBatch();
    await plant(batch, ["a", "b", "c"], () => undefined);
    const stub = stubOf(batch);
    const first = await stub.exchange({ ...ask, holder: "h", want: 2 });
    expect(first.tasks.map(({ seq, attempt }) => [seq, attempt])).toEqual([
      [0, 1],
      [1, 1],
    ]);
    const second = await stub.exchange({
      ...ask,
      ...has(1),
      holder: "h",
      reports: [report(0, 1, { kind: "succeeded" })],
      want: 1,
    });
    expect(second.tasks).toMatchObject([{ seq: 2 }]);
    expect(second).toMatchObject({ end: false, waitMs: null });
  });

  it("never has more calls in flight than the batch allows", async () => {
    const batch = newBatch({ max_concurrency: 2 });
    await plant(batch, ["a", "b", "c", "d"], () => undefined);
    const stub = stubOf(batch);
    const [one, two] = await Promise.all([
      stub.exchange({ ...ask, holder: "g", want: 3 }),
      stub.exchange({ ...ask, holder: "h", want: 3 }),
    ]);
    expect(one.tasks.length + two.tasks.length).toBe(2);
  });

  it("gives back what an answer that was lost had claimed", async () => {
    const batch = newBatch();
    await plant(batch, ["a", "b"], () => undefined);
    const stub = stubOf(batch);
    await stub.exchange({ ...ask, holder: "h", want: 2 });
    const again = await stub.exchange({ ...ask, holder: "h", want: 2 });
    expect(again.tasks.map(({ seq, attempt }) => [seq, attempt])).toEqual([
      [0, 2],
      [1, 2],
    ]);
  });

  it("ends a conversation that leaves once it holds nothing", async () => {
    const batch = newBatch();
    await plant(batch, ["a", "b"], () => undefined);
    const stub = stubOf(batch);
    await stub.exchange({ ...ask, holder: "h", want: 1 });
    const waits = await stub.exchange({
      ...ask,
      ...has(0),
      holder: "h",
      want: 0,
      leaving: true,
    });
    expect(waits).toMatchObject({ tasks: [], end: false });
    const over = await stub.exchange({
      ...ask,
      holder: "h",
      reports: [report(0, 1, { kind: "succeeded" })],
      want: 0,
      leaving: true,
    });
    expect(over).toMatchObject({ tasks: [], end: true });
  });

  it("says of a batch that was never opened that there is nothing", async () => {
    const reply = await stubOf(newBatch()).exchange({ ...ask, holder: "h", want: 5 });
    expect(reply).toMatchObject({ tasks: [], end: true, waitMs: null });
  });
});
