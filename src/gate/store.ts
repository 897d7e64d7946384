import type { Sql } from "../core/sql.ts";
import { type Scope, scope } from "../wire/api-key.ts";
import { type QuotaOverrides, quotaOverrides } from "../wire/quota.ts";
import type { KeyRow, ProfileRow, SecretRow } from "./schema.ts";

const KEY = `SELECT key.*, (SELECT hint FROM secret WHERE key_id = key.id AND expires_at IS NULL) AS hint FROM key`;

/** A Gate's tables. */
export class GateStore {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  profile(): ProfileRow | undefined {
    return this.#sql.exec<ProfileRow>("SELECT * FROM profile").toArray()[0];
  }

  /** Writes the profile down; one that is there stays. */
  addProfile(project: string, name: string, quotas: QuotaOverrides, nowMs: number): void {
    this.#sql.exec(
      `INSERT OR IGNORE INTO profile (id, project, name, created_at, quotas)
       VALUES (1, ?, ?, ?, ?)`,
      project,
      name,
      nowMs,
      JSON.stringify(quotas),
    );
  }

  changeProfile(name: string, quotas: QuotaOverrides): void {
    this.#sql.exec("UPDATE profile SET name = ?, quotas = ?", name, JSON.stringify(quotas));
  }

  archive(nowMs: number): void {
    this.#sql.exec("UPDATE profile SET archived_at = ? WHERE archived_at IS NULL", nowMs);
  }

  addKey(row: Omit<KeyRow, "last_used_at">, sha256: ArrayBuffer): void {
    this.#sql.exec(
      "INSERT INTO key (id, name, scopes, created_at, expires_at) VALUES (?, ?, ?, ?, ?)",
      row.id,
      row.name,
      row.scopes,
      row.created_at,
      row.expires_at,
    );
    this.addSecret(row.id, sha256, row.hint, row.created_at);
  }

  key(id: string): KeyRow | undefined {
    return this.#sql.exec<KeyRow>(`${KEY} WHERE id = ?`, id).toArray()[0];
  }

  keyCount(): number {
    return this.#sql.exec<{ n: number }>("SELECT count(*) AS n FROM key").one().n;
  }

  /** Keys by id, which is by time of creation, behind one of them. */
  keys(after: string, limit: number): KeyRow[] {
    return this.#sql
      .exec<KeyRow>(`${KEY} WHERE id > ? ORDER BY id LIMIT ?`, after, limit)
      .toArray();
  }

  changeKey(id: string, name: string, scopes: string, expiresAtMs: number | null): void {
    this.#sql.exec(
      "UPDATE key SET name = ?, scopes = ?, expires_at = ? WHERE id = ?",
      name,
      scopes,
      expiresAtMs,
      id,
    );
  }

  removeKey(id: string): void {
    this.#sql.exec("DELETE FROM secret WHERE key_id = ?", id);
    this.#sql.exec("DELETE FROM key WHERE id = ?", id);
  }

  used(id: string, nowMs: number): void {
    this.#sql.exec("UPDATE key SET last_used_at = ? WHERE id = ?", nowMs, id);
  }

  /** Every secret there is, for a comparison with all of them. */
  secrets(): SecretRow[] {
    return this.#sql.exec<SecretRow>("SELECT sha256, key_id, expires_at FROM secret").toArray();
  }

  addSecret(keyId: string, sha256: ArrayBuffer, hint: string, nowMs: number): void {
    this.#sql.exec(
      "INSERT INTO secret (sha256, key_id, hint, created_at) VALUES (?, ?, ?, ?)",
      sha256,
      keyId,
      hint,
      nowMs,
    );
  }

  /** Ends a key's secrets at a time, or before it if they end before it. Ended ones are deleted. */
  endSecrets(keyId: string, endsAtMs: number, nowMs: number): void {
    this.#sql.exec(
      "UPDATE secret SET expires_at = min(coalesce(expires_at, ?1), ?1) WHERE key_id = ?2",
      endsAtMs,
      keyId,
    );
    this.#sql.exec("DELETE FROM secret WHERE expires_at <= ?", nowMs);
  }
}

/** The scopes of a row. */
export function scopesOf({ scopes }: Pick<KeyRow, "scopes">): Scope[] {
  return scope.array().parse(scopes.split(","));
}

/** The quotas of a row. */
export function overridesOf({ quotas }: Pick<ProfileRow, "quotas">): QuotaOverrides {
  return quotaOverrides.parse(JSON.parse(quotas));
}
