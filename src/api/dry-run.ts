import { EMPTY_FILE, readTask } from "../batch/ingest.ts";
import { type ModelCheck, modelCheck } from "../config/model-check.ts";
import type { Config } from "../config.ts";
import { JsonlSplitter } from "../core/jsonl.ts";
import { limiterStub, projectStub } from "../stubs.ts";
import type { BatchCheck } from "../wire/check.ts";
import { ok, type Result, refuse } from "../wire/errors.ts";
import { MAX_LINE_BYTES } from "../wire/request.ts";
import type { Asked } from "./asked-batch.ts";
import { type Rates, Tally } from "./tally.ts";
import { wrongWebhook } from "./wrong-webhook.ts";

/**
 * Checks what a batch would be opened with: every task, and not only the first that is wrong. A file
 * is read as a stream. Nothing is called and nothing is kept.
 */
export async function dryRun(
  env: Env,
  project: string,
  config: Config,
  asked: Asked,
): Promise<Result<BatchCheck>> {
  const wrong = wrongWebhook(asked.options.webhook, config);
  if (wrong !== undefined) return { ok: false, problem: wrong };
  const index = projectStub(env, project);
  const inMoney = asked.options.max_cost !== undefined;
  const check = modelCheck(config, asked.endpoint, inMoney);
  const tally = new Tally(config, asked.endpoint, asked.options);
  if (asked.inputFileId === null) {
    tallyInline(asked, check, tally);
  } else {
    const file = await index.getFile(asked.inputFileId);
    if (!file.ok) return { ok: false, problem: { ...file.problem, param: "input_file_id" } };
    const stored = file.value.r2_key === null ? null : await env.FILES.get(file.value.r2_key);
    if (stored === null || file.value.purpose !== "batch") {
      const takes = "input_file_id takes a file uploaded with purpose 'batch'.";
      return refuse("invalid_request", takes, "input_file_id");
    }
    const splitter = new JsonlSplitter({ maxLineBytes: MAX_LINE_BYTES });
    const take = (lines: ReturnType<JsonlSplitter["push"]>) => {
      for (const line of lines) {
        const read = readTask(line, asked.endpoint, check);
        if ("task" in read) tally.add(read.task, line.number);
        else tally.fault({ ...read.fault, line: line.number });
      }
    };
    for await (const piece of stored.body) take(splitter.push(piece));
    take(splitter.end());
    if (tally.isEmpty) tally.fault(EMPTY_FILE);
  }
  const { tasks } = await index.totals();
  const rates = await ratesInForce(env, tally.quotas());
  return ok(tally.check(tasks.pending + tasks.running, rates));
}

/** What the Limiters keep to now: a limit that was learned holds as one that is configured does. */
async function ratesInForce(env: Env, quotas: readonly string[]): Promise<Rates> {
  const rates = quotas.map(async (quota) => {
    const { inForce } = await limiterStub(env, quota).state(quota);
    const { rpm, tpm } = inForce ?? { rpm: null, tpm: null };
    return [quota, { rpm: rpm ?? undefined, tpm: tpm ?? undefined }] as const;
  });
  return new Map(await Promise.all(rates));
}

/** Takes inline tasks and what is wrong with others, all in their order. */
function tallyInline({ tasks, wrong, shared }: Asked, check: ModelCheck, tally: Tally): void {
  const faults = wrong?.faults ?? [];
  let told = 0;
  const tellUpTo = (index: number) => {
    for (let next = faults[told]; next !== undefined && next.index < index; next = faults[told]) {
      const { index: _, ...fault } = next;
      tally.fault({ ...fault, line: null });
      told += 1;
    }
  };
  for (const [at, task] of (tasks ?? []).entries()) {
    const index = wrong?.places[at] ?? at;
    tellUpTo(index);
    const fault = check(task.model);
    const param = shared ? "model" : `requests[${index}].body.model`;
    if (fault === undefined) tally.add(task, null);
    else tally.fault({ code: fault.code, message: `${param}: ${fault.why}`, param, line: null });
    // All of them have this one model.
    if (fault !== undefined && shared) break;
  }
  tellUpTo(Number.POSITIVE_INFINITY);
  tally.countFaults(wrong?.others ?? 0);
}
