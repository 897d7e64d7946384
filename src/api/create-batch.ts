import type { OpenAPIHono } from "@hono/zod-openapi";
import { z } from "zod";
import type { NewBatch } from "../batch/store/batch-row.ts";
import { modelCheck } from "../config/model-check.ts";
import { routesOf } from "../config/routes.ts";
import { type Config, readConfig } from "../config.ts";
import { whyNotJson } from "../core/json-problem.ts";
import { checkTarget } from "../core/target.ts";
import { batchStub, projectStub } from "../stubs.ts";
import { isSecret, newSecret } from "../webhooks/sign.ts";
import {
  aroundPrompts,
  aroundRequests,
  type BatchObject,
  type BatchOptions,
  batchObject,
  type Endpoint,
  fromFile,
  fromPrompts,
  fromRequests,
  type PromptEndpoint,
  windowMs,
} from "../wire/batch.ts";
import { type CallHeaders, callHeadersOf } from "../wire/call-headers.ts";
import { batchCheck } from "../wire/check.ts";
import { ok, type Result, refuse } from "../wire/errors.ts";
import { newBatchId } from "../wire/ids.ts";
import { type Inline, MAX_FAULTS, tasksOfPrompts, tasksOfRequests } from "../wire/inline.ts";
import { describeIssue } from "../wire/issue.ts";
import { parseInput } from "../wire/parse.ts";
import type { Quotas } from "../wire/quota.ts";
import type { NewTask } from "../wire/request.ts";
import type { AppEnv } from "./auth.ts";
import { readText } from "./body.ts";
import { dryRun } from "./dry-run.ts";
import { problemResponse } from "./errors.ts";
import { REPLAYED, sha256, type Turn } from "./once.ts";
import { onBatches, refusal, refusals } from "./openapi.ts";

/** A body with inline tasks crosses one RPC (32 MiB) and this isolate's memory (128 MB) at once. */
const MAX_INLINE_BYTES = 16 * 1024 * 1024;

const USE_A_FILE = "Upload the tasks as a file (POST /v1/files) and send its input_file_id.";

/** Inline tasks of which some are wrong. */
type Wrong = Exclude<Inline, { ok: true }>;

/** What the three kinds of body have in common, and where the tasks come from. */
export interface Asked {
  endpoint: Endpoint;
  /** What each call carries as the client sent it. */
  callHeaders: CallHeaders | null;
  /** How many tasks the file has, where that is known. */
  announced: number | null;
  options: BatchOptions;
  inputFileId: string | null;
  tasks: NewTask[] | null;
  /** What is wrong with other tasks, for a check that takes those that are right all the same. */
  wrong?: Wrong;
  /** The tasks' settings, and so their model, are members of the body itself. */
  shared: boolean;
}

/** POST /v1/batches: opens a batch from inline tasks (202) or from an uploaded file (200). */
export function addCreateBatchRoute(app: OpenAPIHono<AppEnv>): void {
  const answer = (description: string) => ({
    description,
    content: { "application/json": { schema: batchObject } },
  });
  // Registered by hand: the handler needs the body's text, to pass the tasks on byte for byte.
  app.openAPIRegistry.registerPath({
    method: "post",
    path: "/v1/batches",
    operationId: "createBatch",
    summary: "Open a batch",
    ...onBatches,
    request: {
      query: z.object({
        dry_run: z.enum(["true", "false"]).optional().meta({
          description:
            "`true` checks every task and answers with a BatchCheck: all errors, an estimate of tokens, cost and time. Nothing is called, nothing is kept.",
        }),
      }),
      body: {
        required: true,
        content: {
          "application/json": { schema: z.union([fromFile, fromPrompts, fromRequests]) },
        },
      },
    },
    responses: {
      200: {
        description: "Opened from a file, which is being validated; or, with dry_run, the check.",
        content: { "application/json": { schema: z.union([batchObject, batchCheck]) } },
      },
      202: { ...answer("Opened and under way."), headers: z.object({ Location: z.string() }) },
      404: refusal("No such input file."),
      413: refusal("More than 16 MiB inline; upload a file instead."),
      ...refusals,
    },
  });

  app.post("/v1/batches", async (c) => {
    const body = await readText(c.req.raw, MAX_INLINE_BYTES, USE_A_FILE);
    if (!body.ok) return problemResponse(c, body.problem);
    const text = body.value;
    const dry = c.req.query("dry_run") ?? "false";
    if (dry !== "true" && dry !== "false") {
      const message = "dry_run takes true or false.";
      return problemResponse(c, { code: "invalid_request", message, param: "dry_run" });
    }
    if (dry === "true") {
      c.get("once").makeNothing();
      const config = readConfig(c.env);
      const asked = readBody(text, c.req.raw.headers, config, true);
      if (!asked.ok) return problemResponse(c, asked.problem);
      const checked = await dryRun(c.env, c.get("project"), config, asked.value);
      return checked.ok ? c.json(checked.value, 200) : problemResponse(c, checked.problem);
    }
    const bodySha256 = sha256(text);
    const turn = await c.get("once").begin(bodySha256);
    if (turn instanceof Response) return turn;
    const asked = readBody(text, c.req.raw.headers, readConfig(c.env), false);
    if (!asked.ok) return problemResponse(c, asked.problem);
    const opened = await openBatch(
      c.env,
      c.get("project"),
      asked.value,
      bodySha256,
      turn,
      c.get("quotas"),
    );
    if (!opened.ok) return problemResponse(c, opened.problem);
    const { batch, again } = opened.value;
    if (again) c.header(REPLAYED, "true");
    if (asked.value.tasks === null) return c.json(batch, 200);
    return c.json(batch, 202, { Location: `/v1/batches/${batch.id}` });
  });
}

/** @param all takes the right tasks of a body where others are wrong, with what is wrong. */
function readBody(text: string, headers: Headers, config: Config, all: boolean): Result<Asked> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    const why = whyNotJson(error);
    return refuse("invalid_request", `The body is not JSON: ${why}.`, undefined, "invalid_json");
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    return refuse("invalid_request", "The body takes a JSON object.");
  }
  const kinds = ["prompts", "requests", "input_file_id"].filter((name) => name in json);
  if (kinds.length !== 1) {
    const have = kinds.length === 0 ? "none" : kinds.join(" and ");
    return refuse(
      "invalid_request",
      `The body takes one of prompts, requests or input_file_id; it has ${have}.`,
      kinds[0] ?? "prompts",
    );
  }
  switch (kinds[0]) {
    case "prompts": {
      const body = parseInput(aroundPrompts, json);
      if (!body.success) return invalid(body.error, json);
      const endpoint = body.data.endpoint ?? promptEndpointOf(body.data.model, config);
      const inline = tasksOfPrompts(text, body.data, endpoint);
      return asked(body.data, endpoint, headers, inline, { shared: true, all });
    }
    case "requests": {
      const body = parseInput(aroundRequests, json);
      if (!body.success) return invalid(body.error, json);
      const inline = tasksOfRequests(text, body.data);
      return asked(body.data, body.data.endpoint, headers, inline, { shared: false, all });
    }
    default: {
      const body = parseInput(fromFile, json);
      if (!body.success) return invalid(body.error, json);
      const { endpoint, input_file_id } = body.data;
      const callHeaders = callHeadersOf(headers, endpoint);
      if (!callHeaders.ok) return callHeaders;
      return ok({
        endpoint,
        callHeaders: callHeaders.value,
        announced: null,
        options: body.data,
        inputFileId: input_file_id,
        tasks: null,
        shared: false,
      });
    }
  }
}

/** Where prompts go when their sender does not say: where the model is. */
function promptEndpointOf(model: string, { upstreams }: Config): PromptEndpoint {
  const isServed = (endpoint: PromptEndpoint) => routesOf(upstreams, endpoint, model).length > 0;
  if (isServed("/v1/chat/completions")) return "/v1/chat/completions";
  return isServed("/v1/messages") ? "/v1/messages" : "/v1/chat/completions";
}

function invalid(error: z.ZodError, json: object): Result<never> {
  const { param, message, reason } = describeIssue(error, json);
  return refuse("invalid_request", message, param, reason);
}

function asked(
  options: Asked["options"],
  endpoint: Endpoint,
  headers: Headers,
  inline: Inline,
  { shared, all }: { shared: boolean; all: boolean },
): Result<Asked> {
  const callHeaders = callHeadersOf(headers, endpoint);
  if (!callHeaders.ok) return callHeaders;
  const tooLarge = !inline.ok && inline.faults[0]?.code === "too_large";
  if (inline.ok || (all && !tooLarge)) {
    return ok({
      ...(!inline.ok && { wrong: inline }),
      endpoint,
      callHeaders: callHeaders.value,
      announced: null,
      options,
      inputFileId: null,
      tasks: inline.tasks,
      shared,
    });
  }
  const [first, ...others] = inline.faults;
  if (first?.code === "too_large") {
    return refuse("too_large", `${first.message} ${USE_A_FILE}`, first.param ?? undefined);
  }
  const count = others.length + inline.others;
  const least = count + 1 < MAX_FAULTS ? "" : "at least ";
  const more = count === 0 ? "" : ` (and ${least}${count} more)`;
  return refuse(
    "invalid_request",
    `${first?.message ?? "The tasks are not valid."}${more}`,
    first?.param ?? undefined,
    first?.code,
  );
}

/** The batch, and whether it was there before. */
export interface Opened {
  batch: BatchObject;
  again: boolean;
}

/** Opens what was asked for: under an id made from the turn's seed, or as the batch there is. */
export async function openBatch(
  env: Env,
  project: string,
  asked: Asked,
  bodySha256: string,
  turn: Turn,
  quotas: Quotas,
): Promise<Result<Opened>> {
  const config = readConfig(env);
  if (config.upstreams.length === 0) {
    return refuse(
      "not_configured",
      "This Muster has no upstream yet. Set UPSTREAM_BASE_URL, and UPSTREAM_API_KEY as a secret, or UPSTREAMS.",
    );
  }
  const { options } = asked;
  const check = modelCheck(config, asked.endpoint, options.max_cost !== undefined);
  for (const [index, { model }] of (asked.tasks ?? []).entries()) {
    const fault = check(model);
    if (fault === undefined) continue;
    const param = asked.shared ? "model" : `requests[${index}].body.model`;
    return refuse("invalid_request", `${param}: ${fault.why}`, param, fault.code);
  }
  const webhook = options.webhook;
  if (webhook !== undefined) {
    const target = checkTarget(webhook.url, { allowPrivate: config.webhookAllowPrivate });
    if (!target.ok)
      return refuse("invalid_request", `webhook.url: ${target.reason}`, "webhook.url");
    if (webhook.secret !== undefined && !isSecret(webhook.secret)) {
      const takes = "webhook.secret takes whsec_ and the base64 of 24 to 64 bytes.";
      return refuse("invalid_request", takes, "webhook.secret");
    }
  }
  const index = projectStub(env, project);
  let sourceKey: string | null = null;
  let inputSha256: string | null = bodySha256;
  let tasks = asked.tasks?.length ?? asked.announced ?? 0;
  if (asked.inputFileId !== null) {
    const file = await index.getFile(asked.inputFileId);
    if (!file.ok) return { ok: false, problem: { ...file.problem, param: "input_file_id" } };
    sourceKey = file.value.r2_key;
    inputSha256 = file.value.sha256;
    tasks = asked.announced ?? file.value.lines ?? 0;
    if (sourceKey === null || file.value.purpose !== "batch") {
      const takes = "input_file_id takes a file uploaded with purpose 'batch'.";
      return refuse("invalid_request", takes, "input_file_id");
    }
  }
  const secret =
    webhook === undefined
      ? null
      : (webhook.secret ?? newSecret(crypto.getRandomValues(new Uint8Array(32))));
  const made = newBatchId(turn.seed);
  const { fingerprint, isRetry } = turn;
  const size = { tasks, bytes: bytesOf(asked.tasks ?? []) };
  const added = await index.addBatch(made, asked.endpoint, fingerprint, isRetry, size, quotas);
  if (!added.ok) return added;
  const id = added.value;
  const nowMs = Date.now();
  const batch: NewBatch = {
    project,
    batch_id: id,
    upstream: config.upstreams[0]?.name ?? "",
    endpoint: asked.endpoint,
    input_file_id: asked.inputFileId,
    completion_window: options.completion_window,
    metadata: options.metadata ? JSON.stringify(options.metadata) : null,
    max_concurrency: options.max_concurrency ?? null,
    priority: options.priority,
    output_expires_after_s: options.output_expires_after?.seconds ?? null,
    max_tokens_total: options.max_tokens_total ?? null,
    max_cost: options.max_cost ?? null,
    dedupe: options.dedupe ? 1 : 0,
    pool: options.pool ? 1 : 0,
    webhook_url: webhook?.url ?? null,
    webhook_secret: secret,
    on_unknown: options.on_unknown,
    input_sha256: inputSha256,
    call_headers: asked.callHeaders && JSON.stringify(asked.callHeaders),
    announced: asked.announced,
    source_key: sourceKey,
    created_at: nowMs,
    expires_at: nowMs + (windowMs(options.completion_window) ?? 0),
  };
  // If this fails, the batch may be open all the same: it stays in the index, which lists only
  // what is open.
  const opened = await batchStub(env, { project, batch_id: id }).open(batch, asked.tasks);
  if (!opened.ok) return opened;
  const { view, webhookSecret } = opened.value;
  // A secret made here is told once, now; one that the client sent it has.
  if (webhook && webhook.secret === undefined && webhookSecret !== null) {
    view.muster.webhook = { url: webhook.url, secret: webhookSecret };
  }
  return ok({ batch: view, again: id !== made });
}

/** What tasks take up in UTF-8. */
function bytesOf(tasks: readonly NewTask[]): number {
  const encoder = new TextEncoder();
  return tasks.reduce((bytes, { body }) => bytes + encoder.encode(body).byteLength, 0);
}
