import type { NewBatch } from "../batch/store/batch-row.ts";
import { modelCheck } from "../config/model-check.ts";
import { readConfig } from "../config.ts";
import { batchStub, projectStub } from "../stubs.ts";
import { newSecret } from "../webhooks/sign.ts";
import { type BatchObject, windowMs } from "../wire/batch.ts";
import { ok, type Result, refuse } from "../wire/errors.ts";
import { newBatchId, ownInputFileId } from "../wire/ids.ts";
import type { Quotas } from "../wire/quota.ts";
import type { NewTask } from "../wire/request.ts";
import type { Asked } from "./asked-batch.ts";
import type { Turn } from "./once.ts";
import { wrongWebhook } from "./wrong-webhook.ts";

/** The batch, and whether an earlier request asked for it and got as far as the index at least. */
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
  const wrong = wrongWebhook(webhook, config);
  if (wrong !== undefined) return { ok: false, problem: wrong };
  const index = projectStub(env, project);
  let { inputFileId } = asked;
  let sourceKey: string | null = null;
  let inputSha256: string | null = bodySha256;
  let tasks = asked.tasks?.length ?? asked.announced ?? 0;
  let bytes = bytesOf(asked.tasks ?? []);
  if (inputFileId !== null) {
    const file = await index.getFile(inputFileId);
    if (!file.ok) return { ok: false, problem: { ...file.problem, param: "input_file_id" } };
    sourceKey = file.value.r2_key;
    inputSha256 = file.value.sha256;
    tasks = asked.announced ?? file.value.lines ?? 0;
    // The batch keeps a copy of them, which outlives the file.
    bytes = file.value.bytes;
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
  const size = { tasks, bytes, inputFileId: inputFileId ?? undefined };
  // Before it is in the index: see OPEN_WITHIN_MS.
  const nowMs = Date.now();
  const ref = { project, batch_id: made };
  const added = await index.addBatch(ref, asked.endpoint, fingerprint, isRetry, size, quotas);
  if (!added.ok) return added;
  const id = added.value;
  if (id !== made && inputFileId === ownInputFileId(made)) {
    // The earlier request kept the same body under its batch's name. Whoever opens the batch, that
    // is the file it reads: the one that goes when it is deleted.
    const kept = await index.getFile(ownInputFileId(id));
    if (kept.ok) {
      inputFileId = kept.value.id;
      sourceKey = kept.value.r2_key;
    }
  }
  const batch: NewBatch = {
    project,
    batch_id: id,
    upstream: config.upstreams[0]?.name ?? "",
    endpoint: asked.endpoint,
    input_file_id: inputFileId,
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
