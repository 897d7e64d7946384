import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { chatBody } from "./input.ts";
import { type News, news, type Order, outcomeLine, type Request } from "./peers/protocol.ts";
import { tokensOf } from "./peers/rate.ts";
import { scratchDir } from "./scratch.ts";
import type { Answer, Course, Input, Started, Subject, Submitted } from "./subject.ts";

/** A peer: a program in `peers/`, run as a process of its own. */
export function peer(name: string, program: string): Subject {
  return { name, start: (course) => startPeer(program, course) };
}

async function startPeer(program: string, course: Course): Promise<Started> {
  const dir = scratchDir();
  const argument = JSON.stringify(orderOf(course, dir));
  const run = new Run(fork(join(import.meta.dirname, "peers", program), [argument]), dir);
  try {
    await run.heard("ready");
    return run;
  } catch (error) {
    await run.stop();
    throw error;
  }
}

function orderOf({ workload, upstreamUrl, inputs }: Course, dir: string): Order {
  const { lanes, timeoutMs, told, limits = {} } = workload;
  const { rpm, burst, tpm, tokenBurst } = told ? limits : {};
  const costs = inputs.flatMap(({ prompts }) => prompts.map((one) => tokensOf(chatBody(one))));
  const averageTokens = costs.reduce((sum, cost) => sum + cost, 0) / costs.length;
  const held = { rpm, burst, tpm, tokenBurst, averageTokens };
  return { baseUrl: upstreamUrl, dir, lanes, timeoutMs, ...held };
}

class Run implements Started {
  readonly #child: ChildProcess;
  readonly #dir: string;
  readonly #ended: Promise<unknown>;
  /** When each piece of news came, or will. */
  readonly #news = new Map<string, PromiseWithResolvers<number>>();

  constructor(child: ChildProcess, dir: string) {
    this.#child = child;
    this.#dir = dir;
    this.#ended = once(child, "exit");
    child.on("message", (message) => {
      const said = news.parse(message);
      const file = said.kind === "ready" ? "" : said.file;
      this.#slot(said.kind, file).resolve(performance.now());
    });
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error("the peer could not be started");
    return this.#child.pid;
  }

  async submit({ file, watchFirst }: Input): Promise<Submitted> {
    const request: Request = { file, out: `${file}.out` };
    const startMs = performance.now();
    this.#child.send(request);
    const endMs = await this.heard("done", file);
    return {
      tookMs: endMs - startMs,
      firstMs: watchFirst ? (await this.heard("first", file)) - startMs : undefined,
      answers: async () => {
        await this.heard("written", file);
        return readAnswers(request.out);
      },
    };
  }

  async stop(): Promise<void> {
    this.#child.disconnect();
    await this.#ended;
    rmSync(this.#dir, { recursive: true, force: true });
  }

  /** When the peer said so. @throws when it has ended. */
  heard(kind: News["kind"], file = ""): Promise<number> {
    const gone = this.#ended.then((): never => {
      throw new Error("the peer ended by itself");
    });
    return Promise.race([this.#slot(kind, file).promise, gone]);
  }

  #slot(kind: News["kind"], file: string): PromiseWithResolvers<number> {
    const key = `${kind} ${file}`;
    const slot = this.#news.get(key) ?? Promise.withResolvers<number>();
    this.#news.set(key, slot);
    return slot;
  }
}

function readAnswers(path: string): Answer[] {
  const lines = readFileSync(path, "utf8").split("\n").slice(0, -1);
  return lines.map((line) => {
    const { index, text } = outcomeLine.parse(JSON.parse(line));
    return { index, text: text ?? undefined };
  });
}
