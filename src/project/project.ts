import { DurableObject } from "cloudflare:workers";
import { SQLSchemaMigrations } from "durable-utils/sql-migrations";
import { quoted } from "../core/quoted.ts";
import { batchStub } from "../stubs.ts";
import type { Endpoint as BatchEndpoint } from "../wire/batch.ts";
import { noSuch, ok, type Result, refuse } from "../wire/errors.ts";
import type { EventType } from "../wire/event.ts";
import type { Begun, KeptAnswer } from "../wire/idempotency.ts";
import type { BatchRef } from "../wire/messages.ts";
import type { Quotas } from "../wire/quota.ts";
import type { NewUpload } from "../wire/upload.ts";
import type { EndpointChange, NewEndpoint } from "../wire/webhook-endpoint.ts";
import type { Digest } from "./digest.ts";
import type { Totals } from "./digests.ts";
import { Doomed } from "./doomed.ts";
import type { EndpointAttempt, EndpointTarget, Subscriber } from "./endpoint-rpc.ts";
import { Endpoints, type NamedSecret, secretBytes } from "./endpoints.ts";
import { expireFiles, GIVE_UP_MS, giveUpUnopened } from "./expire.ts";
import { Idempotency } from "./idempotency.ts";
import { type OutputFile, outputFileRow } from "./output-file.ts";
import { type Addition, bytesOfFile, QuotaBook } from "./quotas.ts";
import {
  type Endpoint,
  type EndpointAttemptRow,
  type FileRow,
  migrations,
  type PartRow,
} from "./schema.ts";
import {
  type BatchQuery,
  type BatchSize,
  type EndpointQuery,
  type FileQuery,
  type Page,
  ProjectStore,
} from "./store.ts";
import { Unopened } from "./unopened.ts";
import { type Assembly, type UploadState, Uploads } from "./uploads.ts";

const RETRY_MS = 60_000;
/** Bytes that no row owns by then are deleted: longer than any upload takes. */
const ORPHAN_MS = 24 * 3_600_000;
/** Keys taken out in one statement. */
const EXPIRE_AT_ONCE = 5_000;
/** A request waits this long for an earlier one with its key; after that it is told to come again. */
const WAIT_FOR_TURN_MS = 20_000;
/**
 * A POST that says it is a retry is one of a batch that was opened this long ago at most. The official
 * SDKs give a request ten minutes and try it three times.
 */
const RETRY_OF_MS = 30 * 60_000;

/**
 * One project: the index of its batches and files, its webhook endpoints, and what its POSTs were
 * answered.
 */
export class Project extends DurableObject<Env> {
  #store: ProjectStore | undefined;
  readonly #endpoints: Endpoints;
  readonly #idempotency: Idempotency;
  readonly #doomed: Doomed;
  readonly #quotas: QuotaBook;
  readonly #unopened: Unopened;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#doomed = new Doomed(ctx.storage.sql);
    this.#quotas = new QuotaBook(ctx.storage.sql);
    this.#unopened = new Unopened(ctx.storage.sql);
    this.#endpoints = new Endpoints(ctx.storage.sql);
    this.#idempotency = new Idempotency(ctx.storage.sql);
    ctx.blockConcurrencyWhile(async () => {
      await new SQLSchemaMigrations({ doStorage: ctx.storage, migrations }).runAll();
      this.#store = new ProjectStore(ctx.storage.sql);
    });
  }

  /**
   * Puts a batch into the index, before it is opened: a batch that runs is always listed.
   *
   * @param ref its id, and the project's own name.
   * @param endpoint what it calls.
   * @param fingerprint of the request that asks for it, for a retry of it to be known by.
   * @param isRetry whether the request says that it was sent before.
   * @returns the id to open the batch with: another one's, if this is a retry of its request. What is
   *   there already is not refused for a quota.
   */
  addBatch(
    ref: BatchRef,
    endpoint: BatchEndpoint,
    fingerprint: string | null,
    isRetry: boolean,
    size: BatchSize,
    quotas: Quotas,
  ): Result<string> {
    const store = this.#opened();
    const nowMs = Date.now();
    const before = isRetry && fingerprint !== null ? this.batchAskedWith(fingerprint) : undefined;
    const batchId = before ?? ref.batch_id;
    if (store.hasBatch(batchId)) {
      this.#unopened.asked(batchId, nowMs);
    } else {
      const { tasks } = size;
      const bytes = quotas.storedBytes === null ? 0 : this.#quotas.bytesOfBatch(size, nowMs);
      const room = this.#quotas.check({ batches: 1, tasks, bytes }, quotas, nowMs);
      if (!room.ok) return room;
      this.#unopened.introduce(ref.project);
      store.addBatch(batchId, endpoint, fingerprint, size, nowMs);
      this.#arm();
    }
    return ok(batchId);
  }

  /** The batch that a retry of a request is given, if there is one. */
  batchAskedWith(fingerprint: string): string | undefined {
    return this.#opened().batchAskedWith(fingerprint, Date.now() - RETRY_OF_MS);
  }

  /** Whether there is room for more, before the trouble of taking it. */
  checkQuotas(more: Addition, quotas: Quotas): Result<null> {
    this.#opened();
    return this.#quotas.check(more, quotas, Date.now());
  }

  /**
   * A request with an Idempotency-Key begins. While an earlier one with the same key is under way it
   * waits for that one's answer.
   *
   * @param seed see {@link Idempotency.begin}.
   */
  async beginWithKey(key: string, fingerprint: string, seed: string): Promise<Begun> {
    this.#opened();
    const giveUpMs = Date.now() + WAIT_FOR_TURN_MS;
    for (;;) {
      const nowMs = Date.now();
      const begun = this.#idempotency.begin(key, fingerprint, seed, nowMs);
      if (begun.kind === "run") this.#arm();
      if (begun.kind !== "under_way" || nowMs >= giveUpMs) return begun;
      await this.#idempotency.ended(key, giveUpMs - nowMs);
    }
  }

  /** See {@link Idempotency.prolong}. */
  prolongTurn(key: string, turn: string): void {
    this.#idempotency.prolong(key, turn, Date.now());
  }

  /** See {@link Idempotency.keep}. */
  keepAnswer(key: string, turn: string, seed: string, answer: KeptAnswer): KeptAnswer {
    return this.#idempotency.keep(key, turn, seed, answer);
  }

  /** See {@link Idempotency.release}. */
  releaseKey(key: string, turn: string): void {
    this.#idempotency.release(key, turn);
  }

  /** See {@link Idempotency.forget}. */
  forgetKey(key: string, turn: string, seed: string): void {
    this.#idempotency.forget(key, turn, seed);
  }

  /** Takes a batch and its output files out: one that could not be opened, or is no longer kept. */
  removeBatch(batchId: string): void {
    this.#opened().removeBatch(batchId, Date.now());
    this.#arm();
  }

  /** Batch ids, the newest first. */
  listBatches(query: BatchQuery): Result<Page<string>> {
    const store = this.#opened();
    const { after } = query;
    if (after !== undefined && !store.isCursor(after)) {
      return refuse("invalid_request", `No batch with id '${quoted(after)}'.`, "after");
    }
    return ok(store.batches(query));
  }

  /** Ids of one endpoint's batches, the newest first. */
  listBatchesOf(query: EndpointQuery): Result<Page<string>> {
    const store = this.#opened();
    const unknown = [query.older, query.newer].find(
      (id) => id !== undefined && !store.isCursor(id),
    );
    if (unknown !== undefined) return noSuch("batch", unknown);
    return ok(store.batchesOf(query));
  }

  /** Takes what a batch tells of itself. */
  noteBatch(batchId: string, digest: Digest): void {
    this.#opened().digests.note(batchId, digest);
    this.#unopened.opened(batchId);
  }

  /** Answers; that is all. */
  ping(): void {}

  /** The project in sums. */
  totals(): Totals {
    return this.#opened().digests.totals();
  }

  /** Announces bytes that are about to be written under a key, before they are. */
  expectBytes(key: string): void {
    this.#doomed.add(key, Date.now() + ORPHAN_MS);
    this.#arm();
  }

  /** Puts an uploaded file into the index. @returns the file of that id: one that was there stays. */
  addFile(row: FileRow, quotas: Quotas): Result<FileRow> {
    const store = this.#opened();
    const nowMs = Date.now();
    if (store.file(row.id, nowMs) === undefined) {
      const room = this.#quotas.check({ bytes: bytesOfFile(row) }, quotas, nowMs);
      if (!room.ok) return room;
    }
    const kept = store.addFile(row);
    if (row.r2_key !== null && kept.r2_key === row.r2_key) this.#doomed.spare(row.r2_key);
    this.#arm();
    return ok(kept);
  }

  /** Puts the files of a batch that ended into the index, and takes empty ones out. Repeatable. */
  addOutputFiles(batchId: string, files: OutputFile[], nowMs: number): void {
    for (const file of files) {
      if (file.bytes === 0) this.#opened().removeFile(file.id, nowMs);
      else this.#opened().replaceFile(outputFileRow(batchId, file, nowMs));
    }
    this.#arm();
  }

  /** A file's row. */
  getFile(id: string): Result<FileRow> {
    const row = this.#opened().file(id, Date.now());
    return row === undefined ? noSuch("file", id) : ok(row);
  }

  /** Files by time of creation. */
  listFiles(query: FileQuery): Result<Page<FileRow>> {
    const store = this.#opened();
    if (query.after !== undefined && store.fileCursor(query.after) === undefined) {
      return refuse("invalid_request", `No file with id '${quoted(query.after)}'.`, "after");
    }
    return ok(store.files(query, Date.now()));
  }

  /** Deletes a file, with its bytes if they are in R2. */
  async removeFile(id: string): Promise<Result<FileRow>> {
    const store = this.#opened();
    const nowMs = Date.now();
    const row = store.file(id, nowMs);
    if (row === undefined) return noSuch("file", id);
    store.removeFile(id, nowMs);
    if (row.r2_key !== null) {
      this.#doomed.add(row.r2_key, nowMs);
      this.#arm();
      await this.env.FILES.delete(row.r2_key);
      this.#doomed.spare(row.r2_key);
    }
    return ok(row);
  }

  /** See {@link Uploads.create}. */
  createUpload(id: string, asked: NewUpload, quotas: Quotas): Result<UploadState> {
    const nowMs = Date.now();
    // Its bytes count from now on, so its file and as many bytes of parts need no look of their own.
    if (!this.#uploads().has(id)) {
      const room = this.#quotas.check({ bytes: bytesOfFile(asked) }, quotas, nowMs);
      if (!room.ok) return room;
    }
    return ok(this.#uploads().create(id, asked, nowMs));
  }

  /** See {@link Uploads.expectPart}. */
  expectPart(id: string, key: string): Result<number> {
    return this.#armed(this.#uploads().expectPart(id, key, Date.now()));
  }

  /** See {@link Uploads.addPart}. */
  addPart(id: string, part: Omit<PartRow, "upload_id">, quotas: Quotas): Result<PartRow> {
    const nowMs = Date.now();
    return this.#uploads().addPart(id, part, nowMs, (bytes) =>
      this.#quotas.check({ bytes }, quotas, nowMs),
    );
  }

  /** See {@link Uploads.assemble}. */
  assembleUpload(id: string, partIds: string[], key: string): Result<Assembly | UploadState> {
    return this.#armed(this.#uploads().assemble(id, partIds, key, Date.now()));
  }

  /** See {@link Uploads.complete}. */
  completeUpload(id: string, partIds: string[], file: FileRow): Result<UploadState> {
    return this.#armed(this.#uploads().complete(id, partIds, file, Date.now()));
  }

  /** See {@link Uploads.cancel}. */
  cancelUpload(id: string): Result<UploadState> {
    return this.#armed(this.#uploads().cancel(id, Date.now()));
  }

  /** See {@link Endpoints.create}. */
  createEndpoint(id: string, asked: NewEndpoint, isRetry: boolean): Result<NamedSecret> {
    const made = isRetry ? this.#endpoints.made(asked, Date.now()) : undefined;
    if (made !== undefined) return made;
    return this.#endpoints.create(id, asked, secretBytes(), Date.now());
  }

  /** See {@link Endpoints.get}. */
  getEndpoint(id: string): Result<Endpoint> {
    return this.#endpoints.get(id);
  }

  /** See {@link Endpoints.list}. */
  listEndpoints(after: string | undefined, limit: number): Result<Page<Endpoint>> {
    return this.#endpoints.list(after, limit);
  }

  /** See {@link Endpoints.update}. */
  updateEndpoint(id: string, change: EndpointChange): Result<Endpoint> {
    return this.#endpoints.update(id, change, Date.now());
  }

  /** See {@link Endpoints.remove}. */
  removeEndpoint(id: string): Result<string> {
    return this.#endpoints.remove(id, Date.now());
  }

  /** See {@link Endpoints.rotate}. */
  rotateEndpointSecret(id: string, keepOld: boolean): Result<NamedSecret> {
    return this.#endpoints.rotate(id, keepOld, secretBytes(), Date.now());
  }

  /** See {@link Endpoints.takers}. */
  endpointsFor(type: EventType): Subscriber[] {
    return this.#endpoints.takers(type);
  }

  /** See {@link Endpoints.target}. */
  endpointTarget(id: string, type: EventType): EndpointTarget {
    return this.#endpoints.target(id, type, Date.now());
  }

  /** See {@link Endpoints.testTarget}. */
  endpointTestTarget(id: string): Result<{ url: string; secrets: string[] }> {
    return this.#endpoints.testTarget(id, Date.now());
  }

  /** See {@link Endpoints.note}. */
  noteAttempts(attempts: EndpointAttempt[]): void {
    this.#endpoints.note(attempts, Date.now());
  }

  /** See {@link Endpoints.attempts}. */
  endpointAttempts(id: string): Result<EndpointAttemptRow[]> {
    return this.#endpoints.attempts(id);
  }

  /** Deletes what has expired: bytes first, so that none are left without their row. */
  override async alarm(): Promise<void> {
    // Armed before the work: if it fails, it comes again.
    void this.ctx.storage.setAlarm(Date.now() + RETRY_MS);
    const store = this.#opened();
    const project = this.#unopened.project();
    if (project !== undefined) {
      const isOpened = (batch_id: string) => batchStub(this.env, { project, batch_id }).isOpened();
      await giveUpUnopened(store, this.#unopened, isOpened, Date.now);
    }
    await expireFiles(store, this.#doomed, this.env.FILES, Date.now);
    while (this.#idempotency.expire(Date.now(), EXPIRE_AT_ONCE));
    await this.ctx.storage.deleteAlarm();
    this.#arm();
  }

  #armed<T>(result: T): T {
    this.#arm();
    return result;
  }

  #uploads(): Uploads {
    return new Uploads(this.ctx.storage.sql, this.#doomed, this.#opened());
  }

  /** Sets the alarm for the next expiry. */
  #arm(): void {
    const times = [
      this.#opened().nextExpiryMs(),
      this.#idempotency.nextExpiryMs(),
      this.#doomed.nextMs(),
      this.#nextGiveUpMs(),
    ];
    const nextMs = Math.min(...times.map((time) => time ?? Number.POSITIVE_INFINITY));
    if (nextMs !== Number.POSITIVE_INFINITY)
      void this.ctx.storage.setAlarm(Math.max(nextMs, Date.now() + 1));
  }

  #nextGiveUpMs(): number | undefined {
    const oldestMs = this.#unopened.oldestMs();
    if (oldestMs === undefined || this.#unopened.project() === undefined) return undefined;
    return oldestMs + GIVE_UP_MS;
  }

  #opened(): ProjectStore {
    if (this.#store === undefined) throw new Error("the Project's constructor has not finished");
    return this.#store;
  }
}
