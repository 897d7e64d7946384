import { vi } from "vitest";
import { Engine } from "../../src/batch/engine.ts";
import { migrations as batchMigrations } from "../../src/batch/schema.ts";
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
  readonly #batches = new Map<string, Engine>();
  readonly #ends = new Map<string, number>();
  #queue: BatchRef[] = [];
  #serving = false;
  #holders = 0;
  /** Calls between objects, and between consumers and Batches. */
  rpcs = 0;

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

  /** Opens a batch of tasks with these models. @returns its id. */
  open(models: readonly string[], change: Partial<NewBatch> = {}): string {
    const number = this.#batches.size + 1;
    const batchId = `batch_${number.toString(16).padStart(32, "0")}`;
    const nowMs = Date.now();
    const batch: NewBatch = {
      ...NEW,
      batch_id: batchId,
      created_at: nowMs,
      expires_at: nowMs + 86_400_000,
      ...change,
    };
    const tasks = models.map((model, index) => taskOf(batchId, model, index));
    const world = this.#world(batchId);
    const engine = new Engine(
      new Store(new SqliteFile(batchMigrations).open()),
      world,
      this.config,
      undefined,
    );
    this.#batches.set(batchId, engine);
    engine.open(batch, tasks);
    return batchId;
  }

  /** A batch of so many tasks of one model. */
  openMany(count: number, change: Partial<NewBatch> = {}, model = "m"): string {
    return this.open(Array<string>(count).fill(model), change);
  }

  batch(id: string): Engine {
    const found = this.#batches.get(id);
    if (found === undefined) throw new Error(`there is no batch ${id}`);
    return found;
  }

  limiter(quota: string): LimiterEngine {
    let found = this.#limiters.get(quota);
    if (found === undefined) {
      found = new LimiterEngine(new LimiterStore(new SqliteFile(limiterMigrations).open().sql));
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
    await this.until(() => this.#ends.size === this.#batches.size, withinMs);
  }

  #world(batchId: string): World {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const nothing = () => this.#rpc(() => undefined);
    const alarm = async () => {
      await this.batch(batchId).alarm();
      const view = this.batch(batchId).view();
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
          for (const { body } of messages) this.#queue.push(body);
          this.#serve();
        }),
      fileSize: nothing,
      readFile: nothing,
      tellProject: nothing,
      registerFiles: nothing,
      endpointsFor: () => Promise.resolve([]),
      endpointTarget: () => Promise.reject(new Error("there are no webhooks here")),
      tellEndpoints: nothing,
      deliver: () => Promise.reject(new Error("there are no webhooks here")),
      forget: nothing,
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
    for (const ref of refs) void this.#rpc(() => this.batch(ref.batch_id).wake());
  }

  /** The queue's one invocation at a time. */
  #serve(): void {
    const first = this.#queue.shift();
    if (first === undefined || this.#serving) {
      if (first) this.#queue.unshift(first);
      return;
    }
    this.#serving = true;
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
    await pass(this.rpcMs / 2);
    const result = await effect();
    await pass(this.rpcMs / 2);
    return result;
  }

  async #fetch(url: string, init: RequestInit): Promise<Response> {
    const api = this.#apis.get(new URL(url).host);
    if (api === undefined) throw new TypeError(`nobody listens at ${url}`);
    const body = JSON.parse(String(init.body)) as { model: string };
    return api.call(body, this.chance);
  }
}

const NEW: Omit<NewBatch, "batch_id" | "created_at" | "expires_at"> = {
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
