import { createRoute, type OpenAPIHono } from "@hono/zod-openapi";
import { z } from "zod";
import type { ResultsPage } from "../batch/reader.ts";
import type { OutcomeKind, OutcomeRow } from "../batch/store/outcomes.ts";
import { etagOf } from "../core/etag.ts";
import { batchStub } from "../stubs.ts";
import { type BatchObject, type Endpoint, hasEnded } from "../wire/batch.ts";
import { ok, type Result } from "../wire/errors.ts";
import type { BatchRef } from "../wire/messages.ts";
import { outputLine, type Summary, summary } from "../wire/results.ts";
import { wholeInText } from "../wire/whole.ts";
import type { AppEnv } from "./auth.ts";
import { findBatch, idParams, refused } from "./batches.ts";
import { failureOf, readLine, successOf } from "./entries.ts";
import { addSchema, jsonLines, notModified, onBatches, refusal, refusals } from "./openapi.ts";
import { tagged, taggedJson, unchanged } from "./tagged.ts";

/** Rows asked of a Batch at once; it sends fewer when they are long. */
const PAGE_ROWS = 1_000;
const JSONL = "application/jsonl";

/** GET /v1/batches/{id}/results: the summary, or output lines, from the first outcome on. */
export function addResultsRoute(app: OpenAPIHono<AppEnv>): void {
  addSchema(app, "OutputLine", outputLine);
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
        limit: wholeInText(1, 10_000).optional(),
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
      ...notModified,
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
        const link = nextLink(c.req.url, more);
        return tagged(c, rows.map(({ line }) => `${line}\n`).join(""), { ...headers, ...link });
      }
      const summed = pageSummary(batch.endpoint, rows, batch.request_counts.total, more);
      return taggedJson(c, summed, headers);
    }
    const etag = etagOfResults(batch, jsonl);
    const same = unchanged(c, etag, { ...headers, etag });
    if (same) return same;
    const next = page.value.rows[0]?.seq ?? Number.MAX_SAFE_INTEGER;
    const start = typeof first === "number" ? first : next - 1;
    const pieces = jsonl
      ? lines(pages(c.env, ref, "all", start))
      : summaryPieces(c.env, ref, batch.endpoint, batch.request_counts.total, start);
    return c.body(streamOf(pieces), 200, { ...headers, etag }) as never;
  });
}

/**
 * The tag of all results, by what they are made of and not by their bytes, which are streamed: a run
 * only adds outcomes. While it runs, more of them may come while the answer is under way, so the tag
 * is a weak one then.
 */
function etagOfResults(batch: BatchObject, jsonl: boolean): string {
  const { status, request_counts, muster } = batch;
  const { total } = request_counts;
  const finished = total - muster.counts.pending - muster.counts.running;
  const etag = etagOf(JSON.stringify([muster.run, total, finished, jsonl]));
  return hasEnded(status) ? etag : `W/${etag}`;
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

/**
 * Every outcome of a kind, page by page, in input order. The first page is read before this answers,
 * so that what is not there any more is a refusal, and not a stream that breaks off.
 */
export async function allPages(
  env: Env,
  ref: BatchRef,
  kind: OutcomeKind,
): Promise<Result<AsyncGenerator<OutcomeRow[]>>> {
  const first = await readPage(env, ref, kind, -1, PAGE_ROWS);
  return first.ok ? ok(goOn(env, ref, kind, first.value)) : first;
}

async function* goOn(
  env: Env,
  ref: BatchRef,
  kind: OutcomeKind,
  { rows, nextAfter }: ResultsPage,
): AsyncGenerator<OutcomeRow[]> {
  yield rows;
  if (nextAfter !== null) yield* pages(env, ref, kind, nextAfter);
}

/** Output lines as text, a page at a time. */
export async function* lines(pages: AsyncGenerator<OutcomeRow[]>): AsyncGenerator<string> {
  for await (const rows of pages) yield rows.map(({ line }) => `${line}\n`).join("");
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
        JSON.stringify(kind === "output" ? successOf(endpoint, row) : failureOf(row)),
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
    else errors.push(failureOf(row));
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

function lastIdOf(rows: readonly OutcomeRow[]): string | null {
  const last = rows.at(-1);
  return last === undefined ? null : readLine(last.line).custom_id;
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
