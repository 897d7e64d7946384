import { randomUUID } from "node:crypto";
import { basename } from "node:path";
import type { BatchObject } from "../../wire/batch.ts";
import type { BatchCheck } from "../../wire/check.ts";
import type { Context } from "./context.ts";
import { EXIT, Exit, type ExitCode, Refused, wrong } from "./exit.ts";
import { describe, exitOf, follow } from "./follow.ts";
import { checkInput, FORMATS, formatOf, readLines } from "./input.ts";
import { askingMuster } from "./prompt-endpoint.ts";
import { type GivenOptions, number, requestOptions } from "./request-options.ts";
import { checkOutput, resultFormatOf, writeResults } from "./results.ts";
import { inInput, type Uploaded, upload } from "./upload.ts";

/** The options of `muster submit`, as they were typed. */
export interface SubmitOptions extends GivenOptions {
  input?: string;
  metadata?: string[];
  maxConcurrency?: string;
  priority?: string;
  window?: string;
  webhook?: string;
  dedupe?: boolean;
  pool?: boolean;
  maxTokensTotal?: string;
  maxCost?: string;
  wait?: boolean;
  out?: string;
  dryRun?: boolean;
}

/** `muster submit FILE|-`: uploads the tasks, opens a batch, and waits for it when asked to. */
export async function submit(
  context: Context,
  path: string,
  options: SubmitOptions,
): Promise<ExitCode> {
  checkInput(path);
  checkOutput(options.out);
  const { api, terminal } = context;
  const promptEndpoint = options.endpoint === undefined && askingMuster(api, terminal.say);
  const request = { ...requestOptions(options), ...(promptEndpoint && { promptEndpoint }) };
  const settings = batchSettings(options);
  const format = FORMATS.find((name) => name === options.input);
  if (options.input !== undefined && format === undefined) {
    throw wrong(`--input takes ${FORMATS.join(", ")}.`);
  }
  const lines = readLines(path, format ?? formatOf(path), request);
  const name = path === "-" ? "stdin.jsonl" : `${basename(path).replace(/[^\w.-]/g, "_")}`;
  const uploaded = await upload(api, lines, name);
  // Without --endpoint it is the lines' own, where they are whole requests.
  const endpoint = options.endpoint ?? urlOf(uploaded.first) ?? request.endpoint;
  const body = JSON.stringify({
    input_file_id: uploaded.file.id,
    endpoint,
    ...settings,
  });
  const headers = { "content-type": "application/json", "idempotency-key": randomUUID() };
  const forget = () => api.open(`/v1/files/${uploaded.file.id}`, { method: "DELETE" });
  const ask = async <T>(path: string): Promise<T> => {
    try {
      return await api.json<T>(path, { method: "POST", headers, body });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      // No batch needs the file.
      await forget().catch(() => undefined);
      throw inOptions(error);
    }
  };
  if (options.dryRun === true) {
    const checked = await ask<BatchCheck>("/v1/batches?dry_run=true");
    await forget();
    checked.errors.data = inInput(checked.errors.data, uploaded.origins);
    terminal.print(JSON.stringify(checked, null, context.json ? 0 : 2));
    return checked.valid ? EXIT.ok : EXIT.usage;
  }
  const opened = await ask<BatchObject>("/v1/batches");
  if (options.wait !== true) {
    terminal.print(context.json ? JSON.stringify(opened) : opened.id);
    terminal.say(
      `${uploaded.origins.length} tasks sent. npx muster watch ${opened.id} shows how far they are.`,
    );
    return EXIT.ok;
  }
  return finish(context, opened.id, options.out, uploaded);
}

/** The endpoint that a request line names. */
function urlOf(line: string): string | undefined {
  const { url } = JSON.parse(line) as { url?: unknown };
  return typeof url === "string" ? url : undefined;
}

/** The options that members of the request come from. */
const FLAGS: Readonly<Record<string, string>> = {
  completion_window: "--window",
  metadata: "--metadata",
  max_concurrency: "--max-concurrency",
  priority: "--priority",
  max_tokens_total: "--max-tokens-total",
  max_cost: "--max-cost",
  webhook: "--webhook",
  endpoint: "--endpoint",
};

/** A refusal that is about an option, as what was wrong with the option. */
function inOptions(refused: Refused): Exit {
  const member = refused.param?.split(".")[0] ?? "";
  const flag = Object.hasOwn(FLAGS, member) ? FLAGS[member] : undefined;
  if (refused.status !== 400 || flag === undefined) return refused;
  return wrong(`${flag}: ${refused.message.replace(`${member}: `, "")}`);
}

/** Waits for a batch, then writes its results to a file, or says how it ended. */
export async function finish(
  context: Context,
  id: string,
  out: string | undefined,
  uploaded?: Uploaded,
): Promise<ExitCode> {
  const { api, terminal, signal, json } = context;
  terminal.say(`${id}   (Ctrl-C stops watching, not the batch)`);
  const batch = await follow(api, id, terminal, signal);
  if (out !== undefined && batch.status !== "failed") {
    const format = resultFormatOf(out) ?? "jsonl";
    try {
      await writeResults(context, id, batch.endpoint, format, out === "-" ? undefined : out);
    } catch (error) {
      if (error instanceof Exit || signal.aborted) throw error;
      const why = error instanceof Error ? error.message : String(error);
      throw new Exit(
        EXIT.error,
        `${why}\nMuster keeps the results: npx muster results ${id} --out FILE`,
      );
    }
    if (out !== "-") terminal.say(`Results are in ${out}.`);
  }
  for (const { line, message } of inInput(batch.errors?.data ?? [], uploaded?.origins)) {
    process.stderr.write(`${line === null ? "" : `line ${line}: `}${message}\n`);
  }
  if (out === "-") terminal.say(describe(batch));
  else terminal.print(json ? JSON.stringify(batch) : describe(batch));
  return exitOf(batch);
}

function batchSettings(options: SubmitOptions): Record<string, unknown> {
  const metadata = (options.metadata ?? []).map((pair) => {
    const [, name, value] = /^([^=]+)=(.*)$/s.exec(pair) ?? [];
    if (name === undefined) throw wrong(`--metadata takes name=value, not ${pair}.`);
    return [name, value] as const;
  });
  const optional = (flag: string, text: string | undefined) =>
    text === undefined ? undefined : number(flag, text);
  return {
    completion_window: options.window ?? "24h",
    metadata: metadata.length === 0 ? undefined : Object.fromEntries(metadata),
    max_concurrency: optional("--max-concurrency", options.maxConcurrency),
    priority: optional("--priority", options.priority),
    max_tokens_total: optional("--max-tokens-total", options.maxTokensTotal),
    max_cost: optional("--max-cost", options.maxCost),
    webhook: options.webhook === undefined ? undefined : { url: options.webhook },
    dedupe: options.dedupe,
    pool: options.pool,
  };
}
