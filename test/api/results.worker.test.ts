import { beforeAll, describe, expect, it } from "vitest";
import type { OutputLine, Summary } from "../../src/wire/results.ts";
import {
  bodyOf,
  call,
  digestOf,
  ended,
  errorOf,
  linesOf,
  look,
  open,
  outputLines,
  post,
  results,
  unique,
  until,
} from "../support/worker/client.ts";

const JSONL = { headers: { accept: "application/jsonl" } };
const CHAT = "/v1/chat/completions";

function chat(prompt: string) {
  return { model: "m", messages: [{ role: "user", content: prompt }] };
}

/** Opens a batch of chat requests and waits for its end. */
async function finished(prompts: Record<string, string>): Promise<string> {
  const requests = Object.entries(prompts).map(([custom_id, prompt]) => ({
    custom_id,
    body: chat(prompt),
  }));
  const { id } = await open({ endpoint: CHAT, requests });
  await ended(id);
  return id;
}

describe("the summary", () => {
  it("gives every answer under its own task, in input order", async () => {
    const prompts = Array.from({ length: 25 }, (_, n) => unique(`question ${n}`));
    const { id } = await open({ model: "m", prompts });
    await ended(id);
    const { success } = await results(id);
    expect(success.map(({ task_id }) => task_id)).toEqual(prompts.map((_, n) => `task-${n}`));
    for (const [n, prompt] of prompts.entries()) {
      expect(success[n]?.content).toContain(await digestOf(prompt));
      expect(success[n]).toMatchObject({
        status: "success",
        usage: { total_tokens: expect.any(Number) },
      });
    }
  });

  it("names status, message and whether to send it again, for each upstream error", async () => {
    const id = await finished({
      good: unique("good"),
      "400": unique("[400]"),
      "401": unique("[401]"),
      "403": unique("[403]"),
      "404": unique("[404]"),
      "422": unique("[422]"),
      "503": unique("[503 always]"),
      money: unique("[no money]"),
    });
    const said = (code: number) => `The simulator answered ${code}, as its faults say.`;
    expect(await results(id)).toEqual({
      success: [expect.objectContaining({ task_id: "good" })],
      errors: [
        { task_id: "400", error: said(400), status_code: 400, retry: false },
        { task_id: "401", error: said(401), status_code: 401, retry: false },
        { task_id: "403", error: said(403), status_code: 403, retry: false },
        { task_id: "404", error: said(404), status_code: 404, retry: false },
        { task_id: "422", error: said(422), status_code: 422, retry: false },
        { task_id: "503", error: said(503), status_code: 503, retry: true },
        {
          task_id: "money",
          error: "You exceeded your current quota, please check your plan and billing details.",
          status_code: 429,
          retry: false,
        },
      ],
      total: 8,
      success_count: 1,
      error_count: 7,
    });
  });

  it("has no status_code where no answer came, and says so", async () => {
    const id = await finished({ long: unique("[huge]") });
    const { errors } = await results(id);
    expect(errors).toEqual([
      { task_id: "long", error: expect.stringContaining("longer than"), retry: false },
    ]);
  });

  it("keeps the order of the requests when their custom_ids look like numbers", async () => {
    const requests = ["10", "9", "b", "1", "a"].map((custom_id) => ({
      custom_id,
      body: chat(unique(custom_id)),
    }));
    const { id } = await open({ endpoint: CHAT, requests });
    await ended(id);
    expect((await results(id)).success.map(({ task_id }) => task_id)).toEqual([
      "10",
      "9",
      "b",
      "1",
      "a",
    ]);
  });
});

describe("output lines", () => {
  it("are OpenAI's, for a success and for each kind of failure", async () => {
    const id = await finished({
      good: unique("good"),
      bad: unique("[401]"),
      long: unique("[huge]"),
    });
    const stem = `batch_req_${id.slice("batch_".length)}`;
    const lines = await outputLines(id);
    expect(lines).toEqual([
      {
        id: `${stem}_0`,
        custom_id: "good",
        response: {
          status_code: 200,
          request_id: expect.stringMatching(/^req_/),
          body: expect.objectContaining({ object: "chat.completion" }),
        },
        error: null,
      },
      {
        id: `${stem}_1`,
        custom_id: "bad",
        response: {
          status_code: 401,
          request_id: expect.stringMatching(/^req_/),
          body: {
            error: expect.objectContaining({ type: "authentication_error" }),
          },
        },
        error: null,
      },
      {
        id: `${stem}_2`,
        custom_id: "long",
        response: null,
        error: { code: "response_too_large", message: expect.any(String) },
      },
    ]);
  });

  it("pass the upstream's body through: big numbers, and no line breaks", async () => {
    const id = await finished({ pretty: unique("[pretty]"), next: unique("next") });
    const { text } = await bodyOf(await call(`/v1/batches/${id}/results`, JSONL));
    const lines = text.split("\n");
    expect(lines.length).toBe(3);
    expect(lines[2]).toBe("");
    expect(lines[0]).toContain('"integer": 12345678901234567890');
    expect(lines[0]).toContain('"decimal": 1.10');
    expect(lines[0]).toContain('"power": 1E+2');
  });

  it("are sent as JSONL for each name it goes by, and never by default", async () => {
    const id = await finished({ a: unique("a") });
    for (const accept of [
      "application/jsonl",
      "application/x-ndjson",
      "text/html, application/jsonl;q=0.9",
    ]) {
      const response = await call(`/v1/batches/${id}/results`, { headers: { accept } });
      expect(response.headers.get("content-type")).toBe("application/jsonl");
      expect(linesOf((await bodyOf(response)).text).length).toBe(1);
    }
    for (const accept of ["*/*", "application/json", ""]) {
      const response = await call(`/v1/batches/${id}/results`, { headers: { accept } });
      expect(response.headers.get("content-type")).toMatch(/^application\/json/);
      expect(await response.json()).toMatchObject({ success_count: 1 });
    }
  });
});

describe("results while the batch runs", () => {
  it("are those recorded so far, in both types", async () => {
    const slow = unique("[hang always]");
    const quick = Array.from({ length: 8 }, () => unique("quick"));
    const { id } = await open({ model: "m", prompts: [slow, ...quick, unique("[401]")] });
    const running = await until(
      () => look(id),
      ({ muster, status }) =>
        status !== "in_progress" || muster.counts.succeeded + muster.counts.failed === 9,
    );
    const [summary, lines] = [await results(id), await outputLines(id)];
    const after = await look(id);
    expect(running.status).toBe("in_progress");
    expect(after.status).toBe("in_progress");
    expect(summary).toMatchObject({ total: 10, success_count: 8, error_count: 1 });
    expect(summary.success.map(({ task_id }) => task_id)).toEqual(
      quick.map((_, n) => `task-${n + 1}`),
    );
    expect(lines.map(({ custom_id }) => custom_id)).toEqual(
      [...quick, ""].map((_, n) => `task-${n + 1}`),
    );
    // No output file before the end.
    expect(after).toMatchObject({ output_file_id: null, error_file_id: null });

    await ended(id);
    const end = await results(id);
    expect(end).toMatchObject({ total: 10, success_count: 8, error_count: 2 });
    expect(end.errors[0]).toMatchObject({ task_id: "task-0", retry: true });
  });

  it("are empty, not an error, before the first one", async () => {
    const { id } = await open({ model: "m", prompts: [unique("[hang always]")] });
    expect(await results(id)).toEqual({
      success: [],
      errors: [],
      total: 1,
      success_count: 0,
      error_count: 0,
    });
    expect((await bodyOf(await call(`/v1/batches/${id}/results`, JSONL))).text).toBe("");
    expect(await (await call(`/v1/batches/${id}/results?limit=5`)).json()).toMatchObject({
      success: [],
      has_more: false,
      last_id: null,
    });
  });
});

describe("pages of results", () => {
  const total = 23;
  let id = "";
  let names: string[] = [];

  beforeAll(async () => {
    const requests = Array.from({ length: total }, (_, n) => ({
      custom_id: `${n} & 名前 ${unique("x")}`,
      body: chat(unique(n % 5 === 3 ? "[400]" : "question")),
    }));
    id = (await open({ endpoint: CHAT, requests })).id;
    names = requests.map(({ custom_id }) => custom_id);
    await ended(id);
  });

  it.each([1, 2, 7, 22, 23, 24, 10_000])(
    "walk every outcome exactly once as JSON, %d at a time",
    async (limit) => {
      const walked = new Map<string, "success" | "error">();
      let after: string | null = null;
      for (let pages = 0; ; pages += 1) {
        expect(pages).toBeLessThanOrEqual(total);
        const cursor: string = after === null ? "" : `&after=${encodeURIComponent(after)}`;
        const response = await call(`/v1/batches/${id}/results?limit=${limit}${cursor}`);
        const page: Summary = await response.json();
        expect(page.success.length + page.errors.length).toBeLessThanOrEqual(limit);
        expect(page).toMatchObject({
          total,
          success_count: page.success.length,
          error_count: page.errors.length,
        });
        for (const { task_id } of page.success) {
          expect(walked.has(task_id)).toBe(false);
          walked.set(task_id, "success");
        }
        for (const { task_id } of page.errors) {
          expect(walked.has(task_id)).toBe(false);
          walked.set(task_id, "error");
        }
        after = page.last_id ?? null;
        if (page.has_more !== true) break;
      }
      expect([...walked.keys()].toSorted()).toEqual(names.toSorted());
      const failed = [...walked].filter(([, how]) => how === "error").map(([name]) => name);
      expect(failed.toSorted()).toEqual(names.filter((_, n) => n % 5 === 3).toSorted());
    },
  );

  it.each([1, 6, 23])(
    "walk every line in order by the Link header, %d at a time",
    async (limit) => {
      const walked: OutputLine[] = [];
      let path: string | undefined = `/v1/batches/${id}/results?limit=${limit}`;
      while (path !== undefined) {
        const response: Response = await call(path, JSONL);
        walked.push(...linesOf((await bodyOf(response)).text));
        const link: string | null = response.headers.get("link");
        path = /^<([^>]+)>; rel="next"$/.exec(link ?? "")?.[1];
        expect(walked.length).toBeLessThanOrEqual(total);
      }
      expect(walked.map(({ custom_id }) => custom_id)).toEqual(names);
    },
  );

  it("tell caches that both types are at the same address", async () => {
    for (const query of ["", "?limit=2"]) {
      for (const accept of ["application/json", "application/jsonl"]) {
        const path = `/v1/batches/${id}/results${query}`;
        const response = await call(path, { headers: { accept } });
        await response.arrayBuffer();
        expect(response.headers.get("vary")?.toLowerCase()).toBe("accept");
      }
    }
  });

  it("begin behind `after` without a limit too", async () => {
    const after = encodeURIComponent(names[19] ?? "");
    const { text } = await bodyOf(await call(`/v1/batches/${id}/results?after=${after}`, JSONL));
    expect(linesOf(text).map(({ custom_id }) => custom_id)).toEqual(names.slice(20));
    const rest: Summary = await (await call(`/v1/batches/${id}/results?after=${after}`)).json();
    expect(rest).toMatchObject({ success_count: 3, error_count: 0 });
  });

  it("are empty behind the last", async () => {
    const after = encodeURIComponent(names.at(-1) ?? "");
    for (const query of [`after=${after}`, `after=${after}&limit=3`]) {
      const page: Summary = await (await call(`/v1/batches/${id}/results?${query}`)).json();
      expect(page).toMatchObject({ success: [], errors: [], total });
      expect(page.has_more ?? false).toBe(false);
    }
  });

  it("refuse an `after` that is no task of this batch, naming it", async () => {
    const other = await finished({ elsewhere: unique("elsewhere") });
    expect(await results(other)).toMatchObject({ success_count: 1 });
    for (const query of ["after=elsewhere", "after=elsewhere&limit=2"]) {
      const response = await call(`/v1/batches/${id}/results?${query}`);
      expect(response.status).toBe(400);
      expect((await errorOf(response)).param).toBe("after");
    }
  });
});

describe("request bodies", () => {
  it("reach the upstream as they were written", async () => {
    // The simulator answers 400 to what it cannot read, and its digest is of the text it read.
    const prompt = unique('quotes " \\ and \u2028 and 🙂');
    const text = `{ "endpoint" : "${CHAT}",\n "requests" : [ {"body": {"seed": 12345678901234567890,\r\n "model": "m", "messages": [{"role":"user","content":${JSON.stringify(prompt)}}]} , "custom_id":"first"} ] }`;
    const response = await post("/v1/batches", text);
    const { id }: { id: string } = await response.json();
    await ended(id);
    expect((await results(id)).success[0]?.content).toContain(await digestOf(prompt));
  });
});
