import { DurableObject } from "cloudflare:workers";
import { SQLSchemaMigrations } from "durable-utils/sql-migrations";
import { readConfig } from "../config.ts";
import { apiKeyFor, KEY_BYTES } from "../core/api-key.ts";
import type { BucketState } from "../core/bucket.ts";
import { pass } from "../core/request-rate.ts";
import type { ApiKeyChange, NewApiKey, Scope } from "../wire/api-key.ts";
import { noSuch, ok, type Result, refuse } from "../wire/errors.ts";
import type { ProjectChange } from "../wire/project.ts";
import { type QuotaOverrides, type Quotas, quotasOf } from "../wire/quota.ts";
import type { Admission } from "./admission.ts";
import { type KeyPage, type KeyQuery, Keys } from "./keys.ts";
import { type KeyRow, migrations, type ProfileRow, type SecretRow } from "./schema.ts";
import { GateStore, overridesOf, scopesOf } from "./store.ts";

/** A key's last use is written down this often at most. */
const USED_EVERY_MS = 60_000;

/** A project's profile, with the quotas that hold. */
export interface Profile {
  row: ProfileRow;
  quotas: Quotas;
}

/** A key with the value that was just made for it. */
export interface KeyWithValue {
  row: KeyRow;
  value: string;
}

/**
 * The door of one project, as an object named after it: its keys, its quotas, and how many requests
 * it makes. Every request of the project asks here once; what is answered from is in memory, and
 * since no other copy of it exists, a revocation holds for the very next request.
 *
 * Whoever sends a made-up key names a project that there is none of, so an object that has no tables
 * makes none before an administrator opens it.
 */
export class Gate extends DurableObject<Env> {
  readonly #store: GateStore;
  readonly #keys: Keys;
  #hasTables: boolean;
  /** What is read at each request; undefined after a change. */
  #known:
    | { profile: ProfileRow | undefined; quotas: QuotaOverrides; secrets: SecretRow[] }
    | undefined;
  #bucket: BucketState = { tatMs: 0 };

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#store = new GateStore(ctx.storage.sql);
    this.#keys = new Keys(this.#store, ctx.storage);
    const tables = ctx.storage.sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'profile'");
    this.#hasTables = tables.toArray().length > 0;
    if (this.#hasTables) ctx.blockConcurrencyWhile(() => this.#migrate());
  }

  /**
   * Whether a request may pass.
   *
   * @param given SHA-256 of its key; null when a setting says that the key is this project's.
   */
  admit(given: ArrayBuffer | null): Admission {
    const nowMs = Date.now();
    const { profile, quotas: overrides } = this.#read();
    let scopes: Scope[] = ["read", "write"];
    if (given !== null) {
      const key = this.#keyOf(given, nowMs);
      if (key === undefined) return { kind: "unknown" };
      if (key.expires_at !== null && key.expires_at <= nowMs) {
        return { kind: "expired", expiredAtMs: key.expires_at };
      }
      if (key.last_used_at === null || Math.abs(nowMs - key.last_used_at) >= USED_EVERY_MS) {
        this.#store.used(key.id, nowMs);
      }
      scopes = scopesOf(key);
    }
    if (profile !== undefined && profile.archived_at !== null) return { kind: "archived" };
    const quotas = quotasOf(readConfig(this.env).quotas, overrides);
    if (quotas.requestsPerMinute === null) return { kind: "admitted", scopes, quotas, rate: null };
    const passing = pass(this.#bucket, quotas.requestsPerMinute, nowMs);
    this.#bucket = passing.state;
    if (passing.passes) return { kind: "admitted", scopes, quotas, rate: passing.rate };
    return { kind: "too_many", rate: passing.rate, waitMs: passing.waitMs };
  }

  /**
   * Whether a key that was let in would be let in again, apart from how many requests there are.
   *
   * @param given as in {@link admit}.
   */
  holds(given: ArrayBuffer | null): boolean {
    const nowMs = Date.now();
    if ((this.#read().profile?.archived_at ?? null) !== null) return false;
    if (given === null) return true;
    const key = this.#keyOf(given, nowMs);
    return key !== undefined && (key.expires_at === null || key.expires_at > nowMs);
  }

  /** Makes the project, if it is not there. */
  async open(project: string, name: string, quotas: QuotaOverrides): Promise<Profile> {
    if (!this.#hasTables) await this.#migrate();
    this.#hasTables = true;
    this.#store.addProfile(project, name, quotas, Date.now());
    return this.#changed(() => this.#profile(this.#written()));
  }

  /** The project, or that there is none. */
  profile(id: string): Result<Profile> {
    const { profile } = this.#read();
    return profile === undefined ? noSuch("project", id) : ok(this.#profile(profile));
  }

  /** Changes the name, and those quotas that are named. */
  update(id: string, change: ProjectChange): Result<Profile> {
    return this.#ifActive(id, (row) => {
      const quotas = { ...overridesOf(row), ...change.muster?.quotas };
      this.#store.changeProfile(change.name ?? row.name, quotas);
      return this.#changed(() => ok(this.#profile(this.#written())));
    });
  }

  /** From now on its keys open nothing. Twice is once; there is no way back. */
  archive(id: string): Result<Profile> {
    if (this.#read().profile === undefined) return noSuch("project", id);
    this.#store.archive(Date.now());
    return this.#changed(() => ok(this.#profile(this.#written())));
  }

  /** See {@link Keys.create}. */
  createKey(id: string, keyId: string, asked: NewApiKey): Promise<Result<KeyWithValue>> {
    return this.#making(id, (value, sha256) =>
      this.#keys.create(keyId, asked, value, sha256, Date.now()),
    );
  }

  /** See {@link Keys.rotate}. */
  rotateKey(id: string, keyId: string, graceMs: number): Promise<Result<KeyWithValue>> {
    return this.#making(id, (value, sha256) =>
      this.#keys.rotate(keyId, graceMs, value, sha256, Date.now()),
    );
  }

  /** See {@link Keys.get}. */
  getKey(id: string, keyId: string): Result<KeyRow> {
    return this.#exists(id, () => this.#keys.get(keyId));
  }

  /** See {@link Keys.list}. */
  listKeys(id: string, query: KeyQuery): Result<KeyPage> {
    return this.#exists(id, () => ok(this.#keys.list(query)));
  }

  /** See {@link Keys.update}. */
  updateKey(id: string, keyId: string, change: ApiKeyChange): Result<KeyRow> {
    return this.#ifActive(id, () =>
      this.#changed(() => this.#keys.update(keyId, change, Date.now())),
    );
  }

  /** See {@link Keys.remove}. */
  removeKey(id: string, keyId: string): Result<string> {
    return this.#exists(id, () => this.#changed(() => this.#keys.remove(keyId)));
  }

  /** The key of a secret in force. All of them are compared, each in constant time. */
  #keyOf(given: ArrayBuffer, nowMs: number): KeyRow | undefined {
    let id: string | undefined;
    for (const { sha256, key_id, expires_at } of this.#read().secrets) {
      const equal = crypto.subtle.timingSafeEqual(given, sha256);
      if (equal && (expires_at === null || expires_at > nowMs)) id = key_id;
    }
    return id === undefined ? undefined : this.#store.key(id);
  }

  /** Makes a key's value, which leaves here once and is kept as its hash. */
  async #making(
    id: string,
    keep: (value: string, sha256: ArrayBuffer) => Result<KeyRow>,
  ): Promise<Result<KeyWithValue>> {
    const value = apiKeyFor(id, crypto.getRandomValues(new Uint8Array(KEY_BYTES)));
    const sha256 = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(value));
    return this.#ifActive(id, () => {
      const kept = this.#changed(() => keep(value, sha256));
      return kept.ok ? ok({ row: kept.value, value }) : kept;
    });
  }

  #exists<T>(id: string, what: (profile: ProfileRow) => Result<T>): Result<T> {
    const { profile } = this.#read();
    return profile === undefined ? noSuch("project", id) : what(profile);
  }

  #ifActive<T>(id: string, change: (profile: ProfileRow) => Result<T>): Result<T> {
    return this.#exists(id, (profile) =>
      profile.archived_at === null
        ? change(profile)
        : refuse(
            "conflict",
            "This project is archived: it can be looked at, and its keys deleted.",
            undefined,
            "project_archived",
          ),
    );
  }

  #read() {
    if (!this.#hasTables) return { profile: undefined, quotas: {}, secrets: [] };
    const profile = this.#known?.profile ?? this.#store.profile();
    this.#known ??= {
      profile,
      quotas: profile === undefined ? {} : overridesOf(profile),
      secrets: this.#store.secrets(),
    };
    return this.#known;
  }

  /** Reads again what a change may have made old. */
  #changed<T>(change: () => T): T {
    try {
      return change();
    } finally {
      this.#known = undefined;
    }
  }

  #written(): ProfileRow {
    const row = this.#store.profile();
    if (row === undefined) throw new Error("a profile that was just written is not there");
    return row;
  }

  #profile(row: ProfileRow): Profile {
    return { row, quotas: quotasOf(readConfig(this.env).quotas, overridesOf(row)) };
  }

  async #migrate(): Promise<void> {
    await new SQLSchemaMigrations({ doStorage: this.ctx.storage, migrations }).runAll();
  }
}
