import type { BatchObject } from "../../wire/batch.ts";
import type { TaskList, TaskSummary } from "../../wire/task.ts";
import type { Context } from "./context.ts";
import { wrong } from "./exit.ts";
import { describe, pathOf } from "./follow.ts";
import { age, clip, table } from "./terminal.ts";

interface BatchPage {
  data: BatchObject[];
  last_id: string | null;
  has_more: boolean;
}

/** Columns for a task's prompt and answer. */
const TEXT_COLUMNS = 40;

/** `muster ls`: the newest batches first. */
export async function list(
  { api, terminal, json }: Context,
  options: { status?: string; search?: string; limit: string },
): Promise<void> {
  const limit = count("--limit", options.limit);
  const found: BatchObject[] = [];
  let after: string | null = null;
  while (found.length < limit) {
    const query = new URLSearchParams({ limit: String(Math.min(100, limit - found.length)) });
    if (options.status !== undefined) query.set("status", options.status);
    if (options.search !== undefined) query.set("search", options.search);
    if (after !== null) query.set("after", after);
    const page: BatchPage = await api.json(`/v1/batches?${query}`);
    found.push(...page.data);
    after = page.last_id;
    if (!page.has_more) break;
  }
  if (json) {
    for (const batch of found) terminal.print(JSON.stringify(batch));
    return;
  }
  if (found.length === 0) {
    const all = options.status === undefined && options.search === undefined;
    terminal.say(all ? "No batches. npx muster submit FILE opens one." : "No such batches.");
    return;
  }
  const rows = found.map((batch) => {
    const { total, completed, failed } = batch.request_counts;
    const status = batch.muster.paused ? "paused" : batch.status;
    const old = age(Date.now() - batch.created_at * 1000);
    return [
      batch.id,
      status,
      `${completed + failed}/${total}`,
      `${failed}`,
      batch.model ?? "–",
      old,
    ];
  });
  terminal.print(table(["BATCH", "STATUS", "DONE", "FAILED", "MODEL", "AGE"], rows));
}

/** `muster tasks ID`: the tasks of a batch; with a task's id, all there is to it. */
export async function tasks(
  { api, terminal, json }: Context,
  id: string,
  taskId: string | undefined,
  options: { state?: string; search?: string; limit: string },
): Promise<void> {
  if (taskId !== undefined) {
    const task = await (await api.open(`${pathOf(id)}/tasks/${encodeURIComponent(taskId)}`)).text();
    // JSON.parse would change numbers past 2^53, so only a person gets it laid out.
    terminal.print(json ? task : JSON.stringify(JSON.parse(task), null, 2));
    return;
  }
  const limit = count("--limit", options.limit);
  const found: TaskSummary[] = [];
  let after: number | null = -1;
  while (after !== null && found.length < limit) {
    const query = new URLSearchParams({
      ...{ after: String(after), limit: String(Math.min(200, limit - found.length)) },
    });
    if (options.state !== undefined) query.set("state", options.state);
    if (options.search !== undefined) query.set("search", options.search);
    const page: TaskList = await api.json(`${pathOf(id)}/tasks?${query}`);
    found.push(...page.data);
    after = page.next_after;
  }
  if (json) {
    for (const task of found) terminal.print(JSON.stringify(task));
    return;
  }
  const rows = found.map((task) => [
    clip(task.task_id, 24),
    task.state,
    `${task.attempts}`,
    task.latency_ms === null ? "–" : `${Math.round(task.latency_ms)}`,
    clip(task.prompt ?? "", TEXT_COLUMNS),
    clip(task.content ?? task.error ?? "", TEXT_COLUMNS),
  ]);
  terminal.print(table(["TASK", "STATE", "CALLS", "MS", "PROMPT", "ANSWER"], rows));
  if (after !== null) terminal.say(`More: --limit takes a larger number than ${limit}.`);
}

/** A higher budget for a retry, as it was typed. */
export interface NewBudget {
  maxTokensTotal?: string;
  maxCost?: string;
}

/** `muster cancel|pause|resume|retry ID`. */
export async function steer(
  { api, terminal, json }: Context,
  id: string,
  what: "cancel" | "pause" | "resume" | "retry",
  budget: NewBudget = {},
): Promise<void> {
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({
    max_tokens_total: limit("--max-tokens-total", budget.maxTokensTotal),
    max_cost: limit("--max-cost", budget.maxCost),
  });
  const init = what === "retry" ? { method: "POST", headers, body } : { method: "POST" };
  const batch = await api.json<BatchObject>(`${pathOf(id)}/${what}`, init);
  terminal.print(json ? JSON.stringify(batch) : describe(batch));
}

/** A limit that was typed; `none` takes it away. */
function limit(flag: string, text: string | undefined): number | null | undefined {
  if (text === undefined) return undefined;
  if (text === "none") return null;
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value))
    throw wrong(`${flag} takes a number, or none.`);
  return value;
}

function count(flag: string, text: string): number {
  if (!/^[1-9][0-9]{0,6}$/.test(text)) throw wrong(`${flag} takes a whole number, at least 1.`);
  return Number(text);
}
