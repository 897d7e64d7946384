import { openAsBlob, rmSync } from "node:fs";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { setTimeout as wait } from "node:timers/promises";
import { z } from "zod";
import { type Muster, startMuster } from "../../src/cli/serve.ts";
import { readSettings } from "../../src/cli/settings.ts";
import { type Bell, openBell } from "./bell.ts";
import { MAX_TOKENS, MODEL } from "./input.ts";
import { scratchDir } from "./scratch.ts";
import type { Answer, Course, Input, Started, Subject, Submitted } from "./subject.ts";
import type { Workload } from "./workloads.ts";

/** Muster as its users have it: `wrangler dev`, told of the limits, asked over HTTP. */
export const muster: Subject = {
  name: "Muster",
  start: async (course) => {
    const stateDir = scratchDir();
    const tally = new Tally();
    const bell = await openBell();
    try {
      const running = await startMuster({
        stateDir,
        vars: varsOf(course),
        onLine: (line) => tally.hear(line),
      });
      return new Run(running, bell, tally, course.workload, stateDir);
    } catch (error) {
      await bell.close();
      rmSync(stateDir, { recursive: true, force: true });
      throw error;
    }
  },
};

/** What a user of `npm start` sets; the rest is as `npm start` sets it. */
function varsOf({ workload, upstreamUrl }: Course): Record<string, string> {
  const { lanes, limits, told, timeoutMs } = workload;
  const env: Record<string, string> = {
    MUSTER_API_KEYS: "default:sk-muster-bench",
    UPSTREAM_BASE_URL: upstreamUrl,
    UPSTREAM_TIMEOUT_MS: String(timeoutMs),
    CONSUMER_BACKGROUND: "1",
    // The bell is on this machine.
    WEBHOOK_ALLOW_PRIVATE: "1",
  };
  if (told) {
    env.UPSTREAM_MAX_CONCURRENCY = String(lanes);
    if (limits?.rpm !== undefined) env.UPSTREAM_RPM = String(limits.rpm);
    if (limits?.burst !== undefined) env.UPSTREAM_BURST = String(limits.burst);
    if (limits?.tpm !== undefined) env.UPSTREAM_TPM = String(limits.tpm);
  }
  return readSettings(env).vars;
}

const batchEnded = z.object({
  event: z.literal("batch_ended"),
  exchanges: z.number(),
  asks: z.number(),
});

/** Adds up what Muster's log says of the batches that ended. */
class Tally {
  #rpcs = 0;
  #ended = 0;

  hear(line: string): void {
    const [said] = /\{"event":"batch_ended".*\}/.exec(line) ?? [];
    if (said === undefined) return;
    const { exchanges, asks } = batchEnded.parse(JSON.parse(said));
    this.#rpcs += exchanges + asks;
    this.#ended += 1;
  }

  /** Once it has heard of so many batches. */
  async rpcs(batches: number): Promise<number> {
    for (let tries = 0; this.#ended < batches; tries += 1) {
      if (tries > 200) throw new Error("Muster's log does not say that a batch has ended");
      await wait(50);
    }
    return this.#rpcs;
  }
}

const opened = z.object({ id: z.string() });
const resultLine = z.object({
  custom_id: z.string().regex(/^task-\d+$/),
  response: z
    .object({
      status_code: z.number(),
      body: z.object({
        choices: z.array(z.object({ message: z.object({ content: z.string() }) })).optional(),
      }),
    })
    .nullable(),
});

/** How often to look for a batch whose webhook has not come, and for a first result. */
const LOOK_EVERY_MS = 2_000;
const LOOK_FIRST_EVERY_MS = 4;

class Run implements Started {
  readonly #muster: Muster;
  readonly #bell: Bell;
  readonly #tally: Tally;
  readonly #workload: Workload;
  readonly #stateDir: string;
  #sent = 0;

  constructor(muster: Muster, bell: Bell, tally: Tally, workload: Workload, stateDir: string) {
    this.#muster = muster;
    this.#bell = bell;
    this.#tally = tally;
    this.#workload = workload;
    this.#stateDir = stateDir;
  }

  get pid(): number {
    return this.#muster.pid;
  }

  async submit(input: Input): Promise<Submitted> {
    this.#sent += 1;
    const startMs = performance.now();
    const id =
      this.#workload.input === "file" ? await this.#upload(input) : await this.#post(input);
    const firstMs = input.watchFirst ? (await this.#first(id)) - startMs : undefined;
    const endMs = await this.#ended(id);
    return { tookMs: endMs - startMs, firstMs, answers: () => this.#answers(id) };
  }

  rpcs(): Promise<number> {
    return this.#tally.rpcs(this.#sent);
  }

  async stop(): Promise<void> {
    await this.#muster.stop();
    await this.#bell.close();
    rmSync(this.#stateDir, { recursive: true, force: true });
  }

  async #post({ prompts }: Input): Promise<string> {
    return this.#open({ model: MODEL, prompts, max_tokens: MAX_TOKENS });
  }

  async #upload({ file }: Input): Promise<string> {
    const form = new FormData();
    form.set("purpose", "batch");
    form.set("file", await openAsBlob(file), "requests.jsonl");
    const { id } = opened.parse(await this.#ask("/files", { method: "POST", body: form }));
    return this.#open({
      input_file_id: id,
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
    });
  }

  async #open(body: object): Promise<string> {
    const said = { ...body, webhook: { url: this.#bell.url } };
    const answer = await this.#ask("/batches", { method: "POST", body: JSON.stringify(said) });
    return opened.parse(answer).id;
  }

  /** When the first result could be had. */
  async #first(id: string): Promise<number> {
    for (;;) {
      const text = await this.#read(`/batches/${id}/results?limit=1`);
      if (text !== "") return performance.now();
      await wait(LOOK_FIRST_EVERY_MS);
    }
  }

  /** When the batch's webhook came; or, should it be lost, when the batch was seen to have ended. */
  async #ended(id: string): Promise<number> {
    const rung = this.#bell.rung(id);
    for (;;) {
      const heard = await Promise.race([rung, wait(LOOK_EVERY_MS)]);
      if (heard !== undefined) return heard;
      const { status } = z.object({ status: z.string() }).parse(await this.#ask(`/batches/${id}`));
      if (/^(completed|expired|cancelled)$/.test(status)) return performance.now();
      if (status === "failed") throw new Error("Muster did not take the batch");
    }
  }

  async #answers(id: string): Promise<Answer[]> {
    const response = await this.#fetch(`/batches/${id}/results`, {
      headers: { accept: "application/jsonl" },
    });
    if (response.body === null) return [];
    const answers: Answer[] = [];
    for await (const line of createInterface({ input: Readable.fromWeb(response.body) })) {
      const { custom_id, response: answer } = resultLine.parse(JSON.parse(line));
      const text =
        answer?.status_code === 200 ? answer.body.choices?.[0]?.message.content : undefined;
      answers.push({ index: Number(custom_id.slice("task-".length)), text });
    }
    return answers;
  }

  async #read(path: string): Promise<string> {
    return (await this.#fetch(path, { headers: { accept: "application/jsonl" } })).text();
  }

  async #ask(path: string, init: RequestInit = {}): Promise<unknown> {
    return (await this.#fetch(path, init)).json();
  }

  async #fetch(path: string, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    headers.set("authorization", `Bearer ${this.#muster.apiKey}`);
    const response = await fetch(`${this.#muster.url}${path}`, { ...init, headers });
    if (response.ok) return response;
    throw new Error(`Muster answered ${response.status} to ${path}: ${await response.text()}`);
  }
}
