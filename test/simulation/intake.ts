import type { NewBatch } from "../../src/batch/store/batch-row.ts";
import { windowMs } from "../../src/wire/batch.ts";
import type { NewTask } from "../../src/wire/request.ts";
import type { Chance } from "./chance.ts";
import type { Plan } from "./plan.ts";

/** A batch to open, with its tasks or with the bytes of its file. */
export interface Intake {
  batch: NewBatch;
  tasks: NewTask[] | null;
  source: Uint8Array | undefined;
}

/** Longer than one range that is read at a time, together with two more of it. */
const PADDING = `${" ".repeat(600_000)}\n`;

/** Draws a batch: its tasks, its options, where its tasks come from. */
export function drawIntake(plan: Plan, chance: Chance, number: number, nowMs: number): Intake {
  const window = chance.weighted([
    { weight: 2, value: "1m" },
    { weight: 2, value: "5m" },
    { weight: 6, value: "24h" },
  ]).value;
  const fromFile = chance.maybe(0.25);
  const count = chance.between(1, 12);
  const webhook = chance.maybe(0.5);
  const batch: NewBatch = {
    project: `project-${chance.between(1, 2)}`,
    batch_id: `batch_${number.toString(16).padStart(32, "0")}`,
    upstream: "default",
    endpoint: "/v1/chat/completions",
    input_file_id: fromFile ? "file-1" : null,
    completion_window: window,
    metadata: null,
    max_concurrency: chance.maybe(0.4) ? chance.between(1, 4) : null,
    priority: 10,
    output_expires_after_s: null,
    max_tokens_total: chance.maybe(plan.budgets) ? chance.between(1, 3_000) : null,
    max_cost: chance.maybe(plan.budgets / 2) ? chance.between(1, 8_000) : null,
    dedupe: chance.maybe(0.25) ? 1 : 0,
    pool: chance.maybe(plan.pools) ? 1 : 0,
    webhook_url: webhook ? "https://receiver.test/hook" : null,
    webhook_secret: webhook ? "whsec_dGVzdA==" : null,
    on_unknown: chance.maybe(0.3) ? "fail" : "retry",
    input_sha256: null,
    call_headers: null,
    announced: null,
    source_key: fromFile ? "files/1" : null,
    created_at: nowMs,
    expires_at: nowMs + (windowMs(window) ?? 0),
  };
  if (!fromFile) {
    const tasks = Array.from({ length: count }, (_, index) =>
      taskOf(chance, index, batch.dedupe === 1),
    );
    return { batch, tasks, source: undefined };
  }
  return { batch, tasks: null, source: drawFile(chance, count) };
}

function taskOf(chance: Chance, index: number, dedupe: boolean): NewTask {
  // White space apart, many have the same body there.
  const n = dedupe ? `${" ".repeat(chance.between(0, 2))}${chance.between(1, 4)}` : index;
  const model = chance.maybe(0.9) ? "m" : "other";
  return {
    customId: `é"\\${index}`,
    body: `{"model":"${model}","n":${n}}`,
    cost: chance.pick([1, 10, 100, 1_000]),
    inputTokens: chance.between(0, 200),
    outputTokens: chance.maybe(0.4) ? null : chance.between(0, 250),
    model,
  };
}

/** A JSONL file: sometimes of several ranges, with invalid lines, empty, or none at all. */
function drawFile(chance: Chance, count: number): Uint8Array | undefined {
  if (chance.maybe(0.05)) return undefined;
  if (chance.maybe(0.05)) return new Uint8Array(0);
  const long = chance.maybe(0.2);
  const bad = chance.maybe(0.3);
  const lines: string[] = [];
  for (let index = 0; index < count; index += 1) {
    if (long && chance.maybe(0.4)) lines.push(PADDING);
    if (bad && chance.maybe(0.3))
      lines.push(chance.pick(["nonsense\n", '{"custom_id":"x"}\n', "\n"]));
    const twice = bad && chance.maybe(0.1);
    const id = JSON.stringify(`l${twice ? 0 : index}`);
    lines.push(
      `{"custom_id":${id},"method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[]}}\n`,
    );
  }
  return new TextEncoder().encode(lines.join(""));
}
