import { vi } from "vitest";
import { Engine } from "../../src/batch/engine.ts";
import { migrations as batchMigrations } from "../../src/batch/migrations.ts";
import type { NewBatch } from "../../src/batch/store/batch-row.ts";
import { Store } from "../../src/batch/store/store.ts";
import type { World } from "../../src/batch/world.ts";
import { quotaNamed } from "../../src/config/routes.ts";
import { type Config, parseConfig } from "../../src/config.ts";
import { Conversation } from "../../src/consumer/conversation.ts";
import { Lanes } from "../../src/consumer/lanes.ts";
import { Memory } from "../../src/consumer/memory.ts";
import { Slots } from "../../src/consumer/slots.ts";
import { planLanes } from "../../src/consumer/weight.ts";
import type { AcquireReply, AcquireRequest } from "../../src/limiter/acquire.ts";
import { LimiterEngine } from "../../src/limiter/engine.ts";
import { migrations as limiterMigrations } from "../../src/limiter/schema.ts";
import { LimiterStore } from "../../src/limiter/store.ts";
import { migrations as projectMigrations } from "../../src/project/schema.ts";
import { ProjectStore } from "../../src/project/store.ts";
import type { BatchRef } from "../../src/wire/messages.ts";
import type { NewTask } from "../../src/wire/request.ts";
import { Chance } from "../simulation/chance.ts";
import { SqliteFile } from "../simulation/sqlite.ts";
import type { Api } from "./api.ts";

/**
 * A whole Muster in one process and in virtual time: the real Batches, Limiters and consumers, whose
 * calls to each other take a few milliseconds, before upstreams that are played. It shows how calls
 * are scheduled, whatever else the machine is doing. Like the local platform it has one invocation
 * at a time.
 */
export class Town {
  readonly config: Config;
  readonly rpcMs: number;
  readonly chance: Chance;
  readonly #apis: ReadonlyMap<string, Api>;
  readonly #limiters = new Map<string, LimiterEngine>();
  readonly #projects = new Map<string, ProjectStore>();
  readonly #batches = new Map<string, Engine>();
  /** What is stored, by who stores it. */
  readonly #files = new Map<string, SqliteFile>();
  readonly #ends = new Map<string, number>();
  #opened = 0;
  #queue: BatchRef[] = [];
  #serving = false;
  #holders = 0;
  /** Calls between objects, and between consumers and Batches. */
  rpcs = 0;
  /** Whether the queue has an invocation for each pointer at once, as Cloudflare has. */
  manyInvocations = false;
  /** Whether nobody reaches a Project. */
  projectAway = false;
  /** How long the queue takes to deliver. */
  queueMs = 0;
  /** Part of them that fail: half of these before they did anything, half of them behind it. */
  lost = 0;

  /**
   * @param vars as the Worker's, but for the keys.
   * @param apis the upstreams by the host of their base URL.
   */
  constructor(vars: Record<string, string>, apis: Record<string, Api>, seed = 1, rpcMs = 2) {
    this.config = parseConfig({ CONSUMER_SUBREQUESTS: "1000000000", ...vars });
    this.#apis = new Map(Object.entries(apis));
    this.chance = new Chance(seed);
    this.rpcMs = rpcMs;
    vi.stubGlobal("fetch", (url: string, init: RequestInit) => this.#fetch(url, init));
  }

  /** Opens a batch of tasks with these models, `each` of them like that. @returns its id. */
  open(
    models: readonly string[],
    change: Partial<NewBatch> = {},
    each: (index: number) => Partial<NewTask> = () => ({}),
  ): string {
    this.#opened += 1;
    const number = this.#opened;
    const batchId = `batch_${number.toString(16).padStart(32, "0")}`;
    const nowMs = Date.now();
    const batch: NewBatch = {
      ...NEW,
      batch_id: batchId,
      created_at: nowMs,
      expires_at: nowMs + 86_400_000,
      ...change,
    };
    const tasks = models.map((model, index) => ({
      ...taskOf(batchId, model, index),
      ...each(index),
    }));
    const size = { tasks: tasks.length, bytes: 0 };
    this.project(batch.project).addBatch(batchId, batch.endpoint, null, size, nowMs);
    const engine = this.#engine(batchId);
    this.#batches.set(batchId, engine);
    engine.open(batch, tasks);
    return batchId;
  }

  /** A batch of so many tasks of one model. */
  openMany(count: number, change: Partial<NewBatch> = {}, model = "m"): string {
    return this.open(Array<string>(count).fill(model), change);
  }

  /** A batch; one that holds nothing, when it was deleted. */
  batch(id: string): Engine {
    return this.#batches.get(id) ?? this.#engine(id);
  }

  project(id: string): ProjectStore {
    let found = this.#projects.get(id);
    if (found === undefined) {
      found = new ProjectStore(this.#file(`project ${id}`, projectMigrations).open().sql);
      this.#projects.set(id, found);
    }
    return found;
  }

  limiter(quota: string): LimiterEngine {
    let found = this.#limiters.get(quota);
    if (found === undefined) {
      const { sql } = this.#file(`limiter ${quota}`, limiterMigrations).open();
      found = new LimiterEngine(new LimiterStore(sql));
      this.#limiters.set(quota, found);
    }
    return found;
  }

  /** When a batch ended. */
  endMs(id: string): number | undefined {
    return this.#ends.get(id);
  }

  /** Lets time pass until a condition holds. @throws when that takes longer than `withinMs`. */
  async until(done: () => boolean, withinMs = 600_000): Promise<void> {
    const endMs = Date.now() + withinMs;
    while (!done()) {
      if (Date.now() > endMs) throw new Error(`not within ${withinMs} ms`);
      await vi.advanceTimersByTimeAsync(1);
    }
  }

  /** Lets time pass. */
  async pass(ms: number): Promise<void> {
    await vi.advanceTimersByTimeAsync(ms);
  }

  /** Lets time pass until all batches have ended. */
  async allEnd(withinMs?: number): Promise<void> {
    await this.until(() => this.#ends.size === this.#opened, withinMs);
  }

  /** How many rows are stored, by table. */
  rows(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const [owner, file] of this.#files) {
      const [kind] = owner.split(" ");
      for (const { name } of file.rows<{ name: string }>(TABLES)) {
        const [{ n } = { n: 0 }] = file.rows<{ n: number }>(`SELECT count(*) AS n FROM "${name}"`);
        counts[`${kind}.${name}`] = (counts[`${kind}.${name}`] ?? 0) + n;
      }
    }
    return counts;
  }

  #file(owner: string, migrations: ConstructorParameters<typeof SqliteFile>[0]): SqliteFile {
    const file = new SqliteFile(migrations);
    this.#files.set(owner, file);
    return file;
  }

  #engine(batchId: string): Engine {
    const store = new Store(this.#file(`batch ${batchId}`, batchMigrations).open());
    return new Engine(store, this.#world(batchId), this.config, undefined);
  }

  #world(batchId: string): World {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const nothing = () => this.#rpc(() => undefined);
    const alarm = async () => {
      const batch = this.#batches.get(batchId);
      if (batch === undefined) return;
      if ((await batch.alarm()) === "gone") return;
      const view = batch.view();
      if (view.ok && view.value.completed_at !== null && !this.#ends.has(batchId)) {
        this.#ends.set(batchId, Date.now());
      }
    };
    return {
      nowMs: () => Date.now(),
      random: () => this.chance.next(),
      setAlarm: (atMs) => {
        clearTimeout(timer);
        timer = setTimeout(
          () => void alarm(),
          Math.max(0, Math.min(atMs - Date.now(), 2 ** 31 - 1)),
        );
      },
      deleteAlarm: () => clearTimeout(timer),
      breathe: () => Promise.resolve(),
      background: (work) => void work,
      acquire: (request) => this.#rpc(() => this.#acquire(request)),
      announce: (quota, ref, weight, wanted) =>
        this.#rpc(() => {
          this.#wake(this.limiter(quota).announce(ref, weight, wanted, Date.now()));
        }),
      sendPointers: (messages) =>
        this.#rpc(() => {
          const deliver = () => {
            for (const { body } of messages) this.#queue.push(body);
            this.#serve();
          };
          if (this.queueMs > 0) setTimeout(deliver, this.queueMs);
          else deliver();
        }),
      fileSize: nothing,
      readFile: nothing,
      tellProject: (ref, digest) =>
        this.#rpc(() => {
          if (this.projectAway) throw new Error("the Project is away");
          this.project(ref.project).digests.note(ref.batch_id, digest);
        }),
      registerFiles: (ref, files, nowMs) =>
        this.#rpc(() => {
          for (const { id, bytes, kind, expiresAtMs } of files) {
            if (bytes === 0) continue;
            this.project(ref.project).replaceFile({
              ...OUTPUT_FILE,
              ...{ id, bytes, kind, batch_id: ref.batch_id },
              ...{ created_at: nowMs, expires_at: expiresAtMs },
            });
          }
        }),
      endpointsFor: () => Promise.resolve([]),
      endpointTarget: () => Promise.reject(new Error("there are no webhooks here")),
      tellEndpoints: nothing,
      deliver: () => Promise.reject(new Error("there are no webhooks here")),
      forget: async (ref) => {
        await this.#rpc(() => this.project(ref.project).removeBatch(ref.batch_id, Date.now()));
        clearTimeout(timer);
        this.#batches.delete(batchId);
        this.#files.delete(`batch ${batchId}`);
      },
      log: () => undefined,
    };
  }

  #acquire(request: AcquireRequest): AcquireReply {
    const limits = quotaNamed(this.config.upstreams, request.quota)?.limits;
    const limiter = this.limiter(request.quota);
    const { reply, wake } = limiter.acquire(request, limits, Date.now(), this.chance.next());
    this.#wake(wake);
    return reply;
  }

  #wake(refs: readonly BatchRef[]): void {
    const lost = () => undefined;
    for (const ref of refs) this.#rpc(() => this.batch(ref.batch_id).wake()).catch(lost);
  }

  /** The queue's one invocation at a time. */
  #serve(): void {
    const first = this.#queue.shift();
    if (first === undefined || this.#serving) {
      if (first) this.#queue.unshift(first);
      return;
    }
    this.#serving = !this.manyInvocations;
    const plan = planLanes(this.config.lanes, 0);
    const lanes = new Lanes(plan.count);
    const slots = new Slots(this.config.lanes);
    const memory = new Memory({ answerBytes: 24_000_000, bodyChars: 6_000_000 });
    const talks = new Map<string, Promise<void>>();
    const open = (ref: BatchRef, invited: boolean) => {
      if (talks.has(ref.batch_id)) return;
      this.#holders += 1;
      const talk = new Conversation({
        holder: `h${this.#holders}`,
        invited,
        upstreams: this.config.upstreams,
        lanes,
        plan,
        slots,
        memory,
        exchange: (request) => this.#rpc(() => this.batch(ref.batch_id).exchange(request)),
        listen: (holder) => this.#rpc(() => this.batch(ref.batch_id).listen(holder)),
        invite: (other) => open(other, true),
        over: () => false,
        spend: () => undefined,
        heartbeatMs: this.config.claimTtlMs / 3,
      });
      talks.set(
        ref.batch_id,
        talk.run().finally(() => talks.delete(ref.batch_id)),
      );
    };
    open(first, false);
    const over = async () => {
      while (talks.size > 0) await Promise.race(talks.values());
      this.#serving = false;
      this.#serve();
    };
    void over();
  }

  async #rpc<T>(effect: () => T | Promise<T>): Promise<T> {
    this.rpcs += 1;
    const fails = this.lost > 0 && this.chance.maybe(this.lost);
    const before = fails && this.chance.maybe(0.5);
    await pass(this.rpcMs / 2);
    if (before) throw new Error("the call did not arrive");
    const result = await effect();
    await pass(this.rpcMs / 2);
    if (fails) throw new Error("the answer was lost");
    return result;
  }

  async #fetch(url: string, init: RequestInit): Promise<Response> {
    const api = this.#apis.get(new URL(url).host);
    if (api === undefined) throw new TypeError(`nobody listens at ${url}`);
    const body = JSON.parse(String(init.body)) as { model: string };
    return api.call(body, this.chance, init.signal ?? undefined);
  }
}

const TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";

const OUTPUT_FILE = {
  purpose: "batch_output",
  filename: "out.jsonl",
  r2_key: null,
  sha256: null,
  lines: null,
} as const;

export const NEW: Omit<NewBatch, "batch_id" | "created_at" | "expires_at"> = {
  project: "p",
  upstream: "default",
  endpoint: "/v1/chat/completions",
  input_file_id: null,
  completion_window: "24h",
  metadata: null,
  max_concurrency: null,
  output_expires_after_s: null,
  max_tokens_total: null,
  max_cost: null,
  dedupe: 0,
  pool: 0,
  priority: 10,
  webhook_url: null,
  webhook_secret: null,
  on_unknown: "retry",
  input_sha256: null,
  call_headers: null,
  announced: null,
  source_key: null,
};

function taskOf(batchId: string, model: string, index: number): NewTask {
  return {
    customId: `task-${index}`,
    body: JSON.stringify({ model, messages: [{ role: "user", content: `${batchId} ${index}` }] }),
    cost: 100,
    inputTokens: 50,
    outputTokens: 50,
    model,
  };
}

/** Waits in virtual time. */
export function pass(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
