import { hintOf } from "../core/api-key.ts";
import type { Database } from "../core/sql.ts";
import type { ApiKeyChange, NewApiKey } from "../wire/api-key.ts";
import { noSuch, ok, type Result, refuse } from "../wire/errors.ts";
import type { KeyRow } from "./schema.ts";
import type { GateStore } from "./store.ts";

/** All secrets of a project are compared with each request's. */
const MAX_KEYS = 100;
/** Rotations within each other's grace. */
const MAX_SECRETS = 10;

/** A page of keys, and whether there is more behind it. */
export interface KeyPage {
  data: KeyRow[];
  hasMore: boolean;
}

export interface KeyQuery {
  after?: string | undefined;
  limit: number;
}

/** A project's keys. Of a secret it hears the SHA-256, and keeps that. Time is the caller's. */
export class Keys {
  readonly #store: GateStore;
  readonly #db: Database;

  constructor(store: GateStore, db: Database) {
    this.#store = store;
    this.#db = db;
  }

  /** @param value the new key itself, of which the hash and its last characters are kept. */
  create(
    id: string,
    asked: NewApiKey,
    value: string,
    sha256: ArrayBuffer,
    nowMs: number,
  ): Result<KeyRow> {
    if (this.#store.keyCount() >= MAX_KEYS) {
      return refuse(
        "conflict",
        `This project has ${MAX_KEYS} API keys, the most it may have. Delete one that is not needed.`,
        undefined,
        "too_many_api_keys",
      );
    }
    const row = {
      id,
      name: asked.name,
      scopes: asked.scopes.join(","),
      created_at: nowMs,
      expires_at: expiryOf(asked.expires_in_seconds ?? null, nowMs),
      hint: hintOf(value),
    };
    this.#db.transactionSync(() => this.#store.addKey(row, sha256));
    return this.get(id);
  }

  get(id: string): Result<KeyRow> {
    const row = this.#store.key(id);
    return row === undefined ? noSuch("API key", id) : ok(row);
  }

  list({ after, limit }: KeyQuery): KeyPage {
    const rows = this.#store.keys(after ?? "", limit + 1);
    return { data: rows.slice(0, limit), hasMore: rows.length > limit };
  }

  update(id: string, change: ApiKeyChange, nowMs: number): Result<KeyRow> {
    const row = this.#store.key(id);
    if (row === undefined) return noSuch("API key", id);
    const { expires_in_seconds: lifetime } = change;
    this.#store.changeKey(
      id,
      change.name ?? row.name,
      change.scopes?.join(",") ?? row.scopes,
      lifetime === undefined ? row.expires_at : expiryOf(lifetime, nowMs),
    );
    return this.get(id);
  }

  /** A new secret for the same key. The ones before it are good for `graceMs` more. */
  rotate(
    id: string,
    graceMs: number,
    value: string,
    sha256: ArrayBuffer,
    nowMs: number,
  ): Result<KeyRow> {
    if (this.#store.key(id) === undefined) return noSuch("API key", id);
    const held = this.#store.secrets().filter(({ key_id }) => key_id === id).length;
    if (graceMs > 0 && held >= MAX_SECRETS) {
      return refuse(
        "conflict",
        `This key has ${held} secrets in force. Rotate it with grace_seconds 0, which ends them all.`,
        "grace_seconds",
        "too_many_secrets",
      );
    }
    this.#db.transactionSync(() => {
      this.#store.endSecrets(id, nowMs + graceMs, nowMs);
      this.#store.addSecret(id, sha256, hintOf(value), nowMs);
    });
    return this.get(id);
  }

  remove(id: string): Result<string> {
    if (this.#store.key(id) === undefined) return noSuch("API key", id);
    this.#db.transactionSync(() => this.#store.removeKey(id));
    return ok(id);
  }
}

function expiryOf(lifetimeS: number | null, nowMs: number): number | null {
  return lifetimeS === null ? null : nowMs + lifetimeS * 1000;
}
