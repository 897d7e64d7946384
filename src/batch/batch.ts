import { DurableObject } from "cloudflare:workers";
import { SQLSchemaMigrations } from "durable-utils/sql-migrations";
import { type Config, readConfig } from "../config.ts";
import type { BatchChange, BatchObject, BatchRetry } from "../wire/batch.ts";
import { type Result, refuse } from "../wire/errors.ts";
import type { NewTask } from "../wire/request.ts";
import { NOTHING } from "./dispatch.ts";
import { Engine, type Opened } from "./engine.ts";
import type { ExchangeReply, ExchangeRequest } from "./exchange.ts";
import { Listening, type NewsReply, type NewsRequest } from "./listening.ts";
import { migrations } from "./migrations.ts";
import { platformWorld } from "./platform-world.ts";
import type { ResultsPage } from "./reader.ts";
import type { DeliveryHistory } from "./schema.ts";
import type { NewBatch } from "./store/batch-row.ts";
import type { TaskHistory } from "./store/history.ts";
import type { OutcomeKind } from "./store/outcomes.ts";
import { isOpened, Store } from "./store/store.ts";
import type { TaskPage, TaskQuery } from "./store/task-list.ts";
import type { Timeline, TimelineCursor } from "./store/timeline.ts";

const NOT_OPENED = refuse("not_found", "No such batch.", "id");

/**
 * One batch, as an object: the truth about it is in this object's SQLite; queue messages only wake
 * consumers, which come here and ask. What it does is in engine.ts.
 */
export class Batch extends DurableObject<Env> {
  readonly #config: Config;
  /** Undefined until the batch is opened: an id that names nothing leaves no trace. */
  #engine: Engine | undefined;
  readonly #listening = new Listening(() => this.#engine);

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#config = readConfig(env);
    if (isOpened(ctx.storage.sql)) ctx.blockConcurrencyWhile(() => this.#start());
  }

  /** See {@link Engine.open}. */
  async open(batch: NewBatch, tasks: NewTask[] | null): Promise<Result<Opened>> {
    return (this.#engine ?? (await this.#start())).open(batch, tasks);
  }

  /** Whether it was opened. One that its client deleted was. */
  isOpened(): boolean {
    return this.#engine?.view().ok ?? false;
  }

  /** See {@link Engine.view}. */
  view(): Result<BatchObject> {
    return this.#client?.view() ?? NOT_OPENED;
  }

  /** See {@link Listening.view}. */
  viewWhen(waitMs: number, ifNoneMatch: string | undefined): Promise<Result<BatchObject>> {
    return this.#listening.view(waitMs, ifNoneMatch);
  }

  /** See {@link Listening.news}. */
  news(request: NewsRequest): Promise<Result<NewsReply>> {
    return this.#listening.news(request);
  }

  /** See {@link Engine.cancel}. */
  cancel(): Result<BatchObject> {
    return this.#client?.cancel() ?? NOT_OPENED;
  }

  /** See {@link Engine.pause}. */
  pause(): Result<BatchObject> {
    return this.#client?.pause() ?? NOT_OPENED;
  }

  /** See {@link Engine.resume}. */
  resume(): Result<BatchObject> {
    return this.#client?.resume() ?? NOT_OPENED;
  }

  /** See {@link Engine.change}. */
  change(change: BatchChange): Result<BatchObject> {
    return this.#client?.change(change) ?? NOT_OPENED;
  }

  /** See {@link Engine.retry}. */
  retry(change: BatchRetry): Result<BatchObject> {
    return this.#client?.retry(change) ?? NOT_OPENED;
  }

  /** See {@link Engine.remove}. */
  remove(): Result<null> {
    return this.#client?.remove() ?? NOT_OPENED;
  }

  /** See {@link Reader.task}. */
  task(customId: string): Result<TaskHistory> {
    return this.#client?.reader.task(customId) ?? NOT_OPENED;
  }

  /** See {@link Reader.tasks}. */
  tasks(query: TaskQuery): TaskPage {
    return this.#engine?.reader.tasks(query) ?? { rows: [], nextAfter: null };
  }

  /** See {@link Reader.timeline}. */
  timeline(after: TimelineCursor, stepMs: number): Timeline {
    return (
      this.#engine?.reader.timeline(after, stepMs) ?? { moments: [], next: after, more: false }
    );
  }

  /** See {@link Reader.deliveries}. */
  deliveries(): DeliveryHistory[] {
    return this.#client?.reader.deliveries() ?? [];
  }

  /** See {@link Engine.resend}. */
  resend(id: string): Result<DeliveryHistory> {
    return this.#client?.resend(id) ?? NOT_OPENED;
  }

  /** See {@link Engine.erase}. */
  erase(kind: "output" | "error"): Result<null> {
    return this.#engine?.erase(kind) ?? NOT_OPENED;
  }

  /** See {@link Reader.results}. */
  results(
    kind: OutcomeKind,
    after: number | { customId: string },
    limit: number,
  ): Result<ResultsPage> {
    return this.#client?.reader.results(kind, after, limit) ?? NOT_OPENED;
  }

  /** See {@link Engine.exchange}. */
  async exchange(request: ExchangeRequest): Promise<ExchangeReply> {
    return (await this.#engine?.exchange(request)) ?? NOTHING;
  }

  /** See {@link Engine.listen}. */
  async listen(holder: string): Promise<void> {
    await this.#engine?.listen(holder);
  }

  /** See {@link Engine.wake}. @param quota whose Limiter has calls. */
  wake(quota: string): void {
    this.#engine?.wake(quota);
  }

  /** See {@link Engine.poke}. */
  poke(): void {
    this.#engine?.poke();
  }

  override async alarm(): Promise<void> {
    if ((await this.#engine?.alarm()) === "gone") this.#engine = undefined;
  }

  /** The engine as clients reach it: to them a batch that was removed is none. */
  get #client(): Engine | undefined {
    return this.#engine?.isRemoved() ? undefined : this.#engine;
  }

  async #start(): Promise<Engine> {
    const { storage } = this.ctx;
    await new SQLSchemaMigrations({ doStorage: storage, migrations }).runAll();
    const alarmAtMs = (await storage.getAlarm()) ?? undefined;
    const world = platformWorld(this.ctx, this.env, this.#config);
    this.#engine ??= new Engine(new Store(storage), world, this.#config, alarmAtMs);
    return this.#engine;
  }
}
