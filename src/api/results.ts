import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import { z } from "zod";
import type { ResultsPage } from "../batch/engine.ts";
import type { OutcomeKind, OutcomeRow } from "../batch/store/outcomes.ts";
import { readContent } from "../core/content.ts";
import { errorMessage } from "../core/outcome.ts";
import { batchStub } from "../stubs.ts";
import type { Endpoint } from "../wire/batch.ts";
import type { Result } from "../wire/errors.ts";
import type { BatchRef } from "../wire/messages.ts";
import { type OutputLine, outputLine, type Summary, summary } from "../wire/results.ts";
import type { AppEnv } from "./auth.ts";
import { findBatch, idParams, refused } from "./batches.ts";
import { jsonLines, onBatches, refusal, refusals } from "./openapi.ts";

/** Rows asked of a Batch at once; it sends fewer when they are long. */
const PAGE_ROWS = 1_000;
const JSONL = "application/jsonl";

/** GET /v1/batches/{id}/results: the summary, or output lines, from the first outcome on. */
export function addResultsRoute(app: OpenAPIHono<AppEnv>): void {
  // Not `register`: it needs a schema that was made after the router's own module was loaded.
  const { $schema, ...line } = z.toJSONSchema(z.object(outputLine.shape), { io: "input" });
  app.openAPIRegistry.registerComponent("schemas", "OutputLine", line as never);
  const route = createRoute({
    method: "get",
    path: "/v1/batches/{id}/results",
    operationId: "batchResults",
    summary: "Read the results, in input order, also while the batch runs",
    description:
      "With `Accept: application/jsonl` the answer is output lines. Without `limit` it is everything recorded so far, as a stream.",
    ...onBatches,
    request: {
      params: idParams,
      query: z.object({
        after: z.string().optional().meta({ description: "A task_id: what comes after it." }),
        limit: z.coerce.number().int().min(1).max(10_000).optional(),
      }),
    },
    responses: {
      200: {
        description: "The results so far.",
        content: {
          "application/json": { schema: summary },
          [JSONL]: { schema: jsonLines("OutputLine") },
        },
      },
      404: refusal("No such batch."),
      ...refusals,
    },
  });
  app.openapi(route, async (c) => {
    const { id } = c.req.valid("param");
    const { after, limit } = c.req.valid("query");
    const project = c.get("project");
    const found = await findBatch(c.env, project, id);
    if (!found.ok) return refused(c, found.problem);
    const batch = found.value;
    const ref = { project, batch_id: id };
    const first = after === undefined ? -1 : { customId: after };
    const jsonl = /application\/(jsonl|x-ndjson|x-jsonlines)/.test(c.req.header("accept") ?? "");
    const headers = { "content-type": jsonl ? JSONL : "application/json", vary: "accept" };

    // The first page is read before the answer begins, so that a wrong `after` is still a 400.
    const page = await readPage(c.env, ref, "all", first, limit ?? 1);
    if (!page.ok) return refused(c, page.problem);
    if (limit !== undefined) {
      const { rows, nextAfter } = page.value;
      const more = { hasMore: nextAfter !== null, lastId: lastIdOf(rows) };
      if (jsonl) {
        return c.body(rows.map(({ line }) => `${line}\n`).join(""), 200, {
          ...headers,
          ...nextLink(c.req.url, more),
        }) as never;
      }
      const summed = pageSummary(batch.endpoint, rows, batch.request_counts.total, more);
      return c.json(summed, 200, { vary: "accept" });
    }
    const next = page.value.rows[0]?.seq ?? Number.MAX_SAFE_INTEGER;
    const start = typeof first === "number" ? first : next - 1;
    const pieces = jsonl
      ? lines(c.env, ref, "all", start)
      : summaryPieces(c.env, ref, batch.endpoint, batch.request_counts.total, start);
    return c.body(streamOf(pieces), 200, headers) as never;
  });
}

function readPage(
  env: Env,
  ref: BatchRef,
  kind: OutcomeKind,
  after: number | { customId: string },
  limit: number,
): Promise<Result<ResultsPage>> {
  return batchStub(env, ref).results(kind, after, limit);
}

/** Every outcome of a kind after a seq, page by page, in input order. */
async function* pages(
  env: Env,
  ref: BatchRef,
  kind: OutcomeKind,
  afterSeq: number,
): AsyncGenerator<OutcomeRow[]> {
  let after: number | null = afterSeq;
  while (after !== null) {
    const page: Result<ResultsPage> = await readPage(env, ref, kind, after, PAGE_ROWS);
    if (!page.ok) throw new Error(`the results of ${ref.batch_id} went away while they were read`);
    yield page.value.rows;
    after = page.value.nextAfter;
  }
}

/** Output lines as text, a page at a time. */
export async function* lines(
  env: Env,
  ref: BatchRef,
  kind: OutcomeKind,
  afterSeq = -1,
): AsyncGenerator<string> {
  for await (const rows of pages(env, ref, kind, afterSeq)) {
    yield rows.map(({ line }) => `${line}\n`).join("");
  }
}

/** The summary as pieces of JSON: the successes, then the errors, then the counts of both. */
async function* summaryPieces(
  env: Env,
  ref: BatchRef,
  endpoint: Endpoint,
  total: number,
  afterSeq: number,
): AsyncGenerator<string> {
  const counts = { output: 0, error: 0 };
  for (const kind of ["output", "error"] as const) {
    yield kind === "output" ? '{"success":[' : '],"errors":[';
    for await (const rows of pages(env, ref, kind, afterSeq)) {
      const entries = rows.map((row) =>
        JSON.stringify(kind === "output" ? successOf(endpoint, row) : errorOf(row)),
      );
      if (entries.length > 0) yield (counts[kind] > 0 ? "," : "") + entries.join(",");
      counts[kind] += entries.length;
    }
  }
  yield `],"total":${total},"success_count":${counts.output},"error_count":${counts.error}}`;
}

function pageSummary(
  endpoint: Endpoint,
  rows: readonly OutcomeRow[],
  total: number,
  more: { hasMore: boolean; lastId: string | null },
): Summary {
  const success: Summary["success"] = [];
  const errors: Summary["errors"] = [];
  for (const row of rows) {
    if (row.ok === 1) success.push(successOf(endpoint, row));
    else errors.push(errorOf(row));
  }
  return {
    success,
    errors,
    total,
    success_count: success.length,
    error_count: errors.length,
    has_more: more.hasMore,
    last_id: more.lastId,
  };
}

const lineOf = (row: OutcomeRow) => JSON.parse(row.line) as OutputLine;

function successOf(endpoint: Endpoint, row: OutcomeRow): Summary["success"][number] {
  const { custom_id, response } = lineOf(row);
  const body = response?.body;
  const usage = typeof body === "object" && body !== null && "usage" in body ? body.usage : null;
  return { task_id: custom_id, content: readContent(endpoint, body), usage, status: "success" };
}

function errorOf(row: OutcomeRow): Summary["errors"][number] {
  const { custom_id, response, error } = lineOf(row);
  const retry = row.retry === 1;
  if (response === null) {
    return { task_id: custom_id, error: error?.message ?? "No answer.", retry };
  }
  const status_code = response.status_code;
  const message = errorMessage(response.body) ?? `The upstream answered ${status_code}.`;
  return { task_id: custom_id, error: message, status_code, retry };
}

function lastIdOf(rows: readonly OutcomeRow[]): string | null {
  const last = rows.at(-1);
  return last === undefined ? null : lineOf(last).custom_id;
}

function nextLink(
  url: string,
  more: { hasMore: boolean; lastId: string | null },
): Record<string, string> {
  if (!more.hasMore || more.lastId === null) return {};
  const next = new URL(url);
  next.searchParams.set("after", more.lastId);
  return { link: `<${next.pathname}${next.search}>; rel="next"` };
}

/** A stream that reads as fast as its client does. */
export function streamOf(pieces: AsyncGenerator<string>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      for (;;) {
        const { done, value } = await pieces.next();
        if (done) return controller.close();
        if (value !== "") return controller.enqueue(encoder.encode(value));
      }
    },
    async cancel() {
      await pieces.return(undefined);
    },
  });
}
