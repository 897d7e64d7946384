import { setTimeout as wait } from "node:timers/promises";
import type { BatchObject } from "../../wire/batch.ts";
import type { TaskObject } from "../../wire/task.ts";
import type { Api } from "./api.ts";
import type { Context } from "./context.ts";
import { EXIT, Exit, type ExitCode, Refused } from "./exit.ts";

/** One thing the doctor looked at. */
export interface Finding {
  what: "service" | "settings" | "key" | "upstream";
  good: boolean;
  said: string;
  /** What to do when it is not good. */
  todo?: string;
}

/** An upstream that has not answered by then is told of as it stands. */
const CALL_MS = 20_000;
const POLL_MS = 200;

/**
 * `muster doctor`: whether the service is reachable, set up, the key good and the upstream
 * answering, in that order, up to the first that is not.
 */
export async function doctor(
  context: Context,
  options: { model: string; call: boolean },
): Promise<ExitCode> {
  const { terminal, json } = context;
  let code: ExitCode = EXIT.ok;
  for await (const [finding, exit] of look(context, options)) {
    if (json) terminal.print(JSON.stringify(finding));
    else {
      terminal.print(`${finding.good ? "✓" : "✗"} ${finding.what.padEnd(9)} ${finding.said}`);
      if (finding.todo !== undefined) terminal.print(`            ${finding.todo}`);
    }
    if (!finding.good) code = exit;
  }
  return code;
}

async function* look(
  context: Context,
  { model, call }: { model: string; call: boolean },
): AsyncGenerator<[Finding, ExitCode]> {
  const { api, signal } = context;
  const { url } = api.place;
  const reached = await fetch(`${url}/readyz`, { signal }).catch((error: unknown) => String(error));
  if (typeof reached === "string") {
    const todo = `Start it (npm start), or say where it is with --url or MUSTER_URL.`;
    yield [{ what: "service", good: false, said: `no answer from ${url}`, todo }, EXIT.unreachable];
    return;
  }
  const ready = await problemsOf(reached);
  if (ready === undefined) {
    const said = `${url} answers, but not as Muster does (${reached.status})`;
    yield [{ what: "service", good: false, said, todo: "Check --url." }, EXIT.unreachable];
    return;
  }
  yield [{ what: "service", good: true, said: `Muster answers at ${url}` }, EXIT.ok];
  if (ready.length > 0) {
    const said = "Muster is not set up yet";
    yield [{ what: "settings", good: false, said, todo: ready.join(" ") }, EXIT.error];
    return;
  }
  yield [{ what: "settings", good: true, said: "keys and an upstream are set" }, EXIT.ok];
  try {
    await api.json("/v1/batches?limit=1");
  } catch (error) {
    if (!(error instanceof Exit) || error.code !== EXIT.unauthorized) throw error;
    const todo = "Give one of MUSTER_API_KEYS with --key or MUSTER_API_KEY.";
    yield [
      { what: "key", good: false, said: error.message.split("\n")[0] ?? "", todo },
      error.code,
    ];
    return;
  }
  yield [{ what: "key", good: true, said: "the API key is good" }, EXIT.ok];
  if (call) yield [await callUpstream(context, model), EXIT.error];
}

/** What /readyz says is missing; undefined when it is not Muster that answered. */
async function problemsOf(response: Response): Promise<string[] | undefined> {
  try {
    const { problems } = (await response.json()) as { problems?: string[] };
    return Array.isArray(problems) ? problems : undefined;
  } catch {
    return undefined;
  }
}

/** An answer's length for an API that asks for one, as Anthropic's does. */
const MAX_TOKENS = 16;

async function openBatch(api: Api, model: string): Promise<BatchObject | Refused> {
  const ask = (more: object) =>
    api
      .json<BatchObject>("/v1/batches", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          ...{ model, prompts: ["Say ok."], metadata: { muster: "doctor" } },
          ...more,
        }),
      })
      .catch((error: unknown) => {
        if (error instanceof Refused && error.code === EXIT.error) return error;
        throw error;
      });
  const first = await ask({});
  // OpenAI's newer models refuse the member that Anthropic's need, so it is sent when it is asked for.
  const asked = first instanceof Refused && first.param === "max_tokens";
  return asked ? ask({ max_tokens: MAX_TOKENS }) : first;
}

/** Sends a batch of one short prompt, as real as any other. */
async function callUpstream({ api, signal }: Context, model: string): Promise<Finding> {
  const opened = await openBatch(api, model);
  if (opened instanceof Refused) {
    const todo = opened.param === "model" ? { todo: "Name a model with --model." } : {};
    return { what: "upstream", good: false, said: opened.message, ...todo };
  }
  const late = performance.now() + CALL_MS;
  let task: TaskObject;
  do {
    await wait(POLL_MS, undefined, { signal });
    task = await api.json<TaskObject>(`/v1/batches/${opened.id}/tasks/task-0`);
  } while (/^(pending|running)$/.test(task.state) && performance.now() < late);
  if (task.state === "pending" || task.state === "running") {
    await api.json(`/v1/batches/${opened.id}/cancel`, { method: "POST" });
  }
  return verdict(task, model);
}

/** What a call's attempts tell of the upstream, and what to do about it. */
export function verdict(task: Pick<TaskObject, "state" | "attempts">, model: string): Finding {
  const what = "upstream";
  const last = task.attempts.findLast((attempt) => attempt.result !== "running");
  if (task.state === "succeeded") {
    const said = `answered for ${model} in ${Math.round(last?.latency_ms ?? 0)} ms`;
    return { what, good: true, said };
  }
  if (last === undefined) {
    const said = `no answer within ${CALL_MS / 1000} s`;
    return { what, good: false, said, todo: "Look at UPSTREAM_BASE_URL, and at npx muster tasks." };
  }
  const status = last.status_code;
  if (status === null) {
    const said = `could not be called: ${last.error}`;
    return {
      what,
      good: false,
      said,
      todo: "Check UPSTREAM_BASE_URL, and that the upstream runs.",
    };
  }
  const said = `answered ${status}${last.error === null ? "" : `: ${last.error}`}`;
  if (status === 401 || status === 403) {
    return { what, good: false, said, todo: "It refuses Muster's key: set UPSTREAM_API_KEY." };
  }
  if (status === 429) {
    return {
      what,
      good: false,
      said,
      todo: "Its limit is reached, or its account has no money left.",
    };
  }
  if (status >= 500) {
    return { what, good: false, said, todo: "It has trouble of its own; try again later." };
  }
  const todo = `Does it know the model ${model}? Name another with --model. Is UPSTREAM_BASE_URL right, /v1 included?`;
  return { what, good: false, said, todo };
}
