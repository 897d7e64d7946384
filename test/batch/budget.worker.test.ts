import { evictDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import type { Report } from "../../src/batch/exchange.ts";
import type { NewBatch } from "../../src/batch/store/batch-row.ts";
import type { BatchObject } from "../../src/wire/batch.ts";
import {
  call,
  ended,
  errorOf,
  look,
  open,
  outputLines,
  patch,
  post,
  results,
  unique,
  until,
  upload,
} from "../support/worker/client.ts";
import { callsOf, drive, say, taskOf } from "../support/worker/faults.ts";
import { newBatch, plant, report, stubOf } from "../support/worker/store.ts";

const NOTHING = () => undefined;

/** A report of a first attempt that used tokens. */
function used(seq: number, tokens: number, attempt = 1): Report {
  const usage = {
    input_tokens: 4,
    cached_tokens: 0,
    output_tokens: tokens - 4,
    reasoning_tokens: 0,
  };
  return { ...report(seq, attempt, { kind: "succeeded" }), usage };
}

/** What `plant` says each task needs: 4 tokens of input, 6 of output. */
const EACH = 10;

const budgetOf = async (batch: NewBatch) => (await look(batch.batch_id)).muster.budget;

async function retry(id: string, body: unknown): Promise<Response> {
  return call(`/v1/batches/${id}/retry`, { method: "POST", body: JSON.stringify(body) });
}

/** `total = succeeded + failed + cancelled + expired`, and nothing open. */
function expectWhole({ request_counts, muster }: BatchObject): void {
  const { succeeded, failed, cancelled, expired, pending, running } = muster.counts;
  expect(succeeded + failed + cancelled + expired).toBe(request_counts.total);
  expect([pending, running]).toEqual([0, 0]);
  expect([request_counts.completed, request_counts.failed]).toEqual([succeeded, failed]);
}

describe("a batch with max_tokens_total", () => {
  it("calls what fits, ends the rest as budget_stopped, and a retry with more completes it", async () => {
    const prompts = Array.from({ length: 20 }, (_, n) => unique(`budget ${n}`));
    const body = { model: "m", prompts, max_tokens: 20 };
    const { id } = await open({ ...body, max_tokens_total: 300 });
    const end = await ended(id);
    expect(end.status).toBe("completed");
    expectWhole(end);
    const { budget } = end.muster;
    expect(budget).toMatchObject({ max_tokens_total: 300, reserved_tokens: 0, spent_cost: null });
    expect(budget.spent_tokens).toBe(end.usage.total_tokens);
    expect(budget.spent_tokens).toBeLessThanOrEqual(300);
    const { success_count, errors } = await results(id);
    expect(success_count).toBeGreaterThan(3);
    expect(errors.length).toBeGreaterThan(3);
    expect(budget.stopped).toBe(errors.length);
    for (const { error, retry } of errors) {
      expect(retry).toBe(true);
      expect(error).toContain("max_tokens_total of 300");
    }
    const [line] = (await outputLines(id)).filter(({ error }) => error !== null);
    expect(line?.error?.code).toBe("budget_stopped");
    expect(line?.response).toBe(null);
    const calls = await callsOf(prompts);
    expect(calls.filter((count) => count === 1)).toHaveLength(success_count);
    expect(calls.every((count) => count <= 1)).toBe(true);

    const same = await retry(id, { max_tokens_total: budget.spent_tokens });
    expect(same.status).toBe(400);
    expect(await errorOf(same)).toMatchObject({
      code: "budget_spent",
      param: "max_tokens_total",
      message: expect.stringContaining(`has spent ${budget.spent_tokens} tokens already`),
    });
    expect((await look(id)).status).toBe("completed");

    const more = await retry(id, { max_tokens_total: 5_000 });
    expect(((await more.json()) as BatchObject).muster.budget).toMatchObject({
      max_tokens_total: 5_000,
      stopped: 0,
    });
    const whole = await ended(id);
    expectWhole(whole);
    expect(whole.request_counts).toEqual({ total: 20, completed: 20, failed: 0 });
    expect(await callsOf(prompts)).toEqual(prompts.map(() => 1));
    expect(whole.muster.budget.spent_tokens).toBe(whole.usage.total_tokens);
  });

  it("hands out no more than fits, and goes on with what answers give back", async () => {
    const batch = newBatch({ max_tokens_total: 3 * EACH + 5 });
    await plant(batch, ["a", "b", "c", "d", "e", "f"].map(unique), NOTHING);
    const first = await say(batch, { holder: "h", want: 9 });
    expect(first.tasks.map(({ seq }) => seq)).toEqual([0, 1, 2]);
    expect(await budgetOf(batch)).toMatchObject({ reserved_tokens: 30, spent_tokens: 0 });
    // One gave back 5 of its 10: with the 5 that were left the next one fits, and no more.
    const holding = [1, 2].map((seq) => ({ seq, attempt: 1 }));
    const next = await say(batch, { holder: "h", want: 9, holding, reports: [used(0, 5)] });
    expect(next.tasks.map(({ seq }) => seq)).toEqual([3]);
    expect(await budgetOf(batch)).toMatchObject({ reserved_tokens: 30, spent_tokens: 5 });
    // It is waited for: the calls in flight may leave enough.
    expect(next.end).toBe(false);
    expect((await look(batch.batch_id)).muster.counts.pending).toBe(2);
  });

  it("is exceeded by what a call in flight takes beyond its reservation, and by no new call", async () => {
    const batch = newBatch({ max_tokens_total: 2 * EACH });
    await plant(batch, ["a", "b", "c"].map(unique), NOTHING);
    await say(batch, { holder: "h", want: 9 });
    const reports = [used(0, 25)];
    const holding = [{ seq: 1, attempt: 1 }];
    expect((await say(batch, { holder: "h", want: 9, holding, reports })).tasks).toEqual([]);
    const { muster } = await until(
      () => look(batch.batch_id),
      ({ muster }) => muster.counts.pending === 0,
    );
    expect(muster.budget).toMatchObject({ spent_tokens: 25, reserved_tokens: 10, stopped: 1 });
    await say(batch, { holder: "h", want: 9, reports: [used(1, 10)] });
    const end = await ended(batch.batch_id);
    expectWhole(end);
    expect(end.muster.budget).toMatchObject({ spent_tokens: 35, reserved_tokens: 0, stopped: 1 });
  });

  it("skips what needs too much, and goes on with those behind it", async () => {
    const batch = newBatch({ max_tokens_total: 50 });
    const [large, small] = [unique("large"), unique("small")];
    await plant(batch, [large, small], ({ sql }) => {
      sql.exec("UPDATE task SET output_tokens = 500 WHERE seq = 0");
    });
    await call(`/v1/batches/${batch.batch_id}/resume`, { method: "POST" });
    const end = await ended(batch.batch_id);
    expect(end.request_counts).toEqual({ total: 2, completed: 1, failed: 1 });
    expect(await callsOf([large, small])).toEqual([0, 1]);
    expect((await taskOf(batch.batch_id)).state).toBe("failed");
  });

  it("counts what failed attempts used", async () => {
    const batch = newBatch({ max_tokens_total: 3 * EACH });
    await plant(batch, ["a", "b", "c"].map(unique), NOTHING);
    await say(batch, { holder: "h", want: 1 });
    const { usage } = used(0, 15);
    const failed = { ...report(0, 1, { kind: "retry", afterMs: 3_600_000 }), usage };
    const next = await say(batch, { holder: "h", want: 9, reports: [failed] });
    expect(next.tasks.map(({ seq }) => seq)).toEqual([1]);
    expect(await budgetOf(batch)).toMatchObject({ spent_tokens: 15, reserved_tokens: 10 });
  });

  it("counts what a lost attempt used whose answer comes after all, once", async () => {
    const batch = newBatch({ max_tokens_total: 100 });
    await plant(batch, [unique("a")], NOTHING);
    await say(batch, { holder: "lost", want: 1 });
    // Taken back, and given to somebody else.
    await drive(batch, { acquire: GRANTS }, async ({ engine, clock }) => {
      clock.nowMs += 60_000;
      await engine.alarm();
      const again = await engine.exchange({ ...QUIET, holder: "other", want: 1 });
      expect(again.tasks).toMatchObject([{ seq: 0, attempt: 2 }]);
      for (let times = 0; times < 2; times += 1) {
        await engine.exchange({ ...QUIET, holder: "lost", reports: [used(0, 7)] });
      }
    });
    // The object's own engine knows nothing of what was done behind its back.
    await evictDurableObject(stubOf(batch));
    expect(await budgetOf(batch)).toMatchObject({ spent_tokens: 7, reserved_tokens: 10 });
    const late = { holder: "other", reports: [used(0, 9, 2)] };
    await say(batch, late);
    await say(batch, late);
    expect(await budgetOf(batch)).toMatchObject({ spent_tokens: 16, reserved_tokens: 0 });
  });
});

const GRANTS = async ({ costs }: { costs: number[] }) => ({
  startInMs: costs.map(() => 0),
  retryInMs: null,
  blockedBy: null,
  contended: false,
  kept: false,
  invite: null,
});
const QUIET = { invited: false, reports: [], holding: [], want: 0, leaving: false };

describe("bodies that do not limit their output", () => {
  const openEnded = (batch: NewBatch, prompts: string[]) =>
    plant(batch, prompts, ({ sql }) => {
      sql.exec("UPDATE task SET output_tokens = NULL");
    });

  it("go alone until a length is known, and then by the longest so far", async () => {
    const batch = newBatch({ max_tokens_total: 100 });
    await openEnded(batch, ["a", "b", "c", "d", "e"].map(unique));
    const first = await say(batch, { holder: "h", want: 9 });
    expect(first.tasks.map(({ seq }) => seq)).toEqual([0]);
    expect(await budgetOf(batch)).toMatchObject({ reserved_tokens: 100 });
    // 26 of output: each of the next is taken for 4 + 26, and two of them fit into the 70 left.
    const next = await say(batch, { holder: "h", want: 9, reports: [used(0, 30)] });
    expect(next.tasks.map(({ seq }) => seq)).toEqual([1, 2]);
    expect(await budgetOf(batch)).toMatchObject({ reserved_tokens: 60, spent_tokens: 30 });
  });

  it("spend the last of a budget one by one", async () => {
    const prompts = ["a", "b", "c", "d"].map(unique);
    const { id } = await open({ model: "m", prompts, max_tokens_total: 60 });
    const end = await ended(id);
    expectWhole(end);
    expect(end.request_counts.completed).toBeGreaterThan(0);
    expect(end.muster.budget.stopped).toBe(end.request_counts.failed);
    const longest = Math.max(
      ...(await results(id)).success.map(
        ({ usage }) => (usage as { total_tokens: number }).total_tokens,
      ),
    );
    expect(end.muster.budget.spent_tokens).toBeLessThan(60 + longest);
  });
});

describe("a batch with max_cost", () => {
  it("spends by PRICES, to the nano-dollar, and never more", async () => {
    const prompts = Array.from({ length: 12 }, (_, n) => unique(`cost ${n}`));
    // Each call may take about 26 tokens of input and 20 of output: about 106 micro-dollars.
    const { id } = await open({ model: "priced-1", prompts, max_tokens: 20, max_cost: 0.0006 });
    const end = await ended(id);
    expectWhole(end);
    const { budget } = end.muster;
    expect(end.request_counts.completed).toBeGreaterThan(2);
    expect(budget.stopped).toBeGreaterThan(2);
    expect(budget.spent_cost).toBeLessThanOrEqual(0.0006);
    const { input_tokens, output_tokens } = end.usage;
    expect(budget.spent_cost).toBe((input_tokens * 1_000 + output_tokens * 4_000) / 1e9);
    expect(budget).toMatchObject({ max_cost: 0.0006, reserved_cost: 0 });
    const message = (await results(id)).errors[0]?.error;
    expect(message).toContain("max_cost of 0.0006 US dollars");

    const less = await retry(id, { max_cost: budget.spent_cost });
    expect(await errorOf(less)).toMatchObject({ param: "max_cost", code: "budget_spent" });
    await retry(id, { max_cost: null });
    expect((await ended(id)).request_counts.completed).toBe(12);
    expect(await callsOf(prompts)).toEqual(prompts.map(() => 1));
  });

  it("tells the cost of a batch without a budget, too", async () => {
    const { id } = await open({ model: "priced-1", prompts: [unique("a")], max_tokens: 20 });
    const { usage, muster } = await ended(id);
    const { input_tokens, output_tokens } = usage;
    expect(muster.budget.spent_cost).toBe((input_tokens * 1_000 + output_tokens * 4_000) / 1e9);
  });

  it("is refused with a model that has no price, inline and by line", async () => {
    const inline = await post("/v1/batches", { model: "m", prompts: ["a"], max_cost: 1 });
    expect(inline.status).toBe(400);
    expect(await errorOf(inline)).toMatchObject({ code: "model_not_priced", param: "model" });
    const requests = [{ body: { model: "priced-1", input: "a" } }, { body: { input: "a" } }];
    const second = await post("/v1/batches", {
      endpoint: "/v1/responses",
      requests,
      max_cost: 1,
    });
    expect(await errorOf(second)).toMatchObject({
      code: "model_not_priced",
      param: "requests[1].body.model",
    });
    const line = (id: string, model: string) =>
      JSON.stringify({
        custom_id: id,
        method: "POST",
        url: "/v1/responses",
        body: { model, input: unique(id) },
      });
    const file = await upload(`${line("a", "priced-1")}\n${line("b", "m")}\n`);
    const created = await post("/v1/batches", {
      input_file_id: file.id,
      endpoint: "/v1/responses",
      max_cost: 1,
    });
    const failed = await ended(((await created.json()) as BatchObject).id);
    expect(failed.status).toBe("failed");
    expect(failed.errors?.data).toMatchObject([
      { code: "model_not_priced", line: 2, param: "body.model" },
    ]);
  });

  it.each([
    [{ max_cost: 0 }, "max_cost"],
    [{ max_cost: -1 }, "max_cost"],
    [{ max_cost: 1e-10 }, "max_cost"],
    [{ max_cost: 1_000_001 }, "max_cost"],
    [{ max_cost: "5" }, "max_cost"],
    [{ max_tokens_total: 0 }, "max_tokens_total"],
    [{ max_tokens_total: 1.5 }, "max_tokens_total"],
  ])("%j is refused", async (budget, param) => {
    const response = await post("/v1/batches", { model: "priced", prompts: ["a"], ...budget });
    expect(response.status).toBe(400);
    expect((await errorOf(response)).param).toBe(param);
  });
});

describe("a budget changed while the batch runs", () => {
  it("pays for more at once when it is raised", async () => {
    const batch = newBatch({ max_tokens_total: 2 * EACH });
    await plant(batch, ["a", "b", "c"].map(unique), NOTHING);
    const first = await say(batch, { holder: "h", want: 9 });
    expect(first.tasks).toHaveLength(2);
    await patch(batch.batch_id, { max_tokens_total: 3 * EACH });
    const holding = [0, 1].map((seq) => ({ seq, attempt: 1 }));
    expect((await say(batch, { holder: "h", want: 9, holding })).tasks).toHaveLength(1);
  });

  it("is set on a batch that had none, and stops what it does not pay for", async () => {
    const batch = newBatch();
    await plant(batch, ["a", "b", "c"].map(unique), NOTHING);
    await say(batch, { holder: "h", want: 1 });
    const changed = await patch(batch.batch_id, { max_tokens_total: 5 });
    expect(((await changed.json()) as BatchObject).muster.budget.max_tokens_total).toBe(5);
    const { muster } = await until(
      () => look(batch.batch_id),
      ({ muster }) => muster.counts.pending === 0,
    );
    expect(muster.counts).toMatchObject({ running: 1, failed: 2 });
  });

  it("is not set below what is spent, nor in money without prices", async () => {
    const batch = newBatch();
    await plant(batch, ["a", "b"].map(unique), NOTHING);
    await say(batch, { holder: "h", want: 1 });
    await say(batch, { holder: "h", reports: [used(0, 10)] });
    const low = await patch(batch.batch_id, { max_tokens_total: 10 });
    expect(await errorOf(low)).toMatchObject({ param: "max_tokens_total", code: "budget_spent" });
    const money = await patch(batch.batch_id, { max_cost: 1 });
    expect(await errorOf(money)).toMatchObject({ param: "max_cost", code: "model_not_priced" });
    expect(await budgetOf(batch)).toMatchObject({ max_tokens_total: null, max_cost: null });
  });
});

describe("a retry", () => {
  it("of a batch whose budget is spent takes a higher one", async () => {
    const batch = newBatch({ max_tokens_total: EACH });
    await plant(batch, ["a", "b"].map(unique), NOTHING);
    await say(batch, { holder: "h", want: 1 });
    await say(batch, { holder: "h", reports: [used(0, EACH)] });
    const id = batch.batch_id;
    expect((await ended(id)).muster.budget.stopped).toBe(1);
    for (const body of [{}, { max_tokens_total: EACH }]) {
      const response = await retry(id, body);
      expect(response.status).toBe(400);
      expect((await errorOf(response)).param).toBe("max_tokens_total");
    }
    const wrong = await retry(id, { max_tokens: 5 });
    expect((await errorOf(wrong)).param).toBe("max_tokens");
    expect((await retry(id, { max_tokens_total: 1_000 })).status).toBe(200);
    expect((await ended(id)).request_counts.completed).toBe(2);
  });
});
