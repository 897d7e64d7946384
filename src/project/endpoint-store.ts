import { z } from "zod";
import type { Sql } from "../core/sql.ts";
import { type EventType, eventType } from "../wire/event.ts";
import type { EndpointChange, NewEndpoint } from "../wire/webhook-endpoint.ts";
import type { Subscriber } from "./endpoint-rpc.ts";
import type { Endpoint, EndpointRow } from "./schema.ts";
import type { Page } from "./store.ts";

/** A receiver that verifies many signatures of one delivery works for nothing: no more than this. */
const MAX_SECRETS = 4;

const storedTypes = z.array(eventType);

/** A project's webhook endpoints and their secrets. */
export class EndpointStore {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** How many there are. */
  count(): number {
    return this.#sql.exec<{ count: number }>("SELECT count(*) AS count FROM endpoint").one().count;
  }

  /** Adds an endpoint with its first secret. */
  add(id: string, { name, url, event_types }: NewEndpoint, secret: string, nowMs: number): void {
    this.#sql.exec(
      `INSERT INTO endpoint (id, name, url, event_types, created_at, updated_at)
       VALUES (?, ?, ?, ?, ?, ?)`,
      id,
      name,
      url,
      JSON.stringify(event_types),
      nowMs,
      nowMs,
    );
    this.#addSecret(id, secret);
  }

  /** An endpoint, if there is one of that id. */
  get(id: string): Endpoint | undefined {
    const row = this.#sql.exec<EndpointRow>("SELECT * FROM endpoint WHERE id = ?", id).toArray()[0];
    return row === undefined ? undefined : this.#read(row);
  }

  /** The newest that was made like this since a time, and not changed after that. */
  madeSince({ name, url, event_types }: NewEndpoint, sinceMs: number): string | undefined {
    return this.#sql
      .exec<{ id: string }>(
        `SELECT id FROM endpoint WHERE name = ? AND url = ? AND event_types = ? AND created_at >= ?
           AND updated_at = created_at ORDER BY id DESC LIMIT 1`,
        name,
        url,
        JSON.stringify(event_types),
        sinceMs,
      )
      .toArray()[0]?.id;
  }

  /** Endpoints, the newest first, those created before the one named by `after`. */
  page(after: string | undefined, limit: number): Page<Endpoint> {
    const rows = this.#sql
      .exec<EndpointRow>(
        "SELECT * FROM endpoint WHERE id < ? ORDER BY id DESC LIMIT ?",
        after ?? "whe_~",
        limit + 1,
      )
      .toArray();
    return {
      data: rows.slice(0, limit).map((row) => this.#read(row)),
      hasMore: rows.length > limit,
    };
  }

  /**
   * Changes what is given. A URL enables the endpoint unless the change says otherwise: what its
   * last receiver said was about the old one. A change to what is already so leaves `updated_at`.
   */
  update(id: string, change: EndpointChange, nowMs: number): void {
    const types = change.event_types;
    const enabled = change.muster?.enabled ?? (change.url === undefined ? undefined : true);
    this.#sql.exec(
      `UPDATE endpoint SET updated_at = ?6, name = coalesce(?2, name), url = coalesce(?3, url),
         event_types = coalesce(?4, event_types),
         disabled_at = CASE ?5 WHEN 1 THEN NULL WHEN 0 THEN coalesce(disabled_at, ?6)
           ELSE disabled_at END,
         disabled_reason = CASE ?5 WHEN 1 THEN NULL WHEN 0 THEN coalesce(disabled_reason, ?7)
           ELSE disabled_reason END,
         rest_until = CASE WHEN coalesce(?3, url) = url THEN rest_until ELSE 0 END
       WHERE id = ?1 AND (coalesce(?2, name) <> name OR coalesce(?3, url) <> url
         OR coalesce(?4, event_types) <> event_types
         OR coalesce(?5, disabled_at IS NULL) <> (disabled_at IS NULL))`,
      id,
      change.name ?? null,
      change.url ?? null,
      types === undefined ? null : JSON.stringify(types),
      enabled === undefined ? null : Number(enabled),
      nowMs,
      "Disabled by an update.",
    );
  }

  /** Those that are enabled and take events of a type. */
  takers(type: EventType): Subscriber[] {
    return this.#sql
      .exec<Pick<EndpointRow, "id" | "url">>(
        `SELECT id, url FROM endpoint WHERE disabled_at IS NULL
           AND EXISTS (SELECT 1 FROM json_each(event_types) WHERE value = ?) ORDER BY id`,
        type,
      )
      .toArray();
  }

  /**
   * Disables one, unless it was changed after `sinceMs`: the reason is older than the change.
   *
   * @returns whether it did.
   */
  disable(id: string, reason: string, sinceMs: number, nowMs: number): boolean {
    const disabled = this.#sql.exec(
      `UPDATE endpoint SET disabled_at = ?1, disabled_reason = ?2, updated_at = ?1
       WHERE id = ?3 AND disabled_at IS NULL AND updated_at <= ?4 RETURNING id`,
      nowMs,
      reason,
      id,
      sinceMs,
    );
    return disabled.toArray().length > 0;
  }

  /** Leaves one alone until a time, unless it was changed after `sinceMs`. */
  rest(id: string, untilMs: number, sinceMs: number): void {
    this.#sql.exec(
      "UPDATE endpoint SET rest_until = max(rest_until, ?) WHERE id = ? AND updated_at <= ?",
      untilMs,
      id,
      sinceMs,
    );
  }

  /** Takes an endpoint and its secrets out. */
  remove(id: string): void {
    this.#sql.exec("DELETE FROM endpoint_secret WHERE endpoint_id = ?", id);
    this.#sql.exec("DELETE FROM endpoint WHERE id = ?", id);
  }

  /**
   * Puts a new secret in force. Without `oldUntilMs` all others end now; with it the last one stays
   * until then, as do those of earlier rotations until their own time.
   */
  rotate(id: string, secret: string, oldUntilMs: number | undefined, nowMs: number): void {
    if (oldUntilMs === undefined) {
      this.#sql.exec("DELETE FROM endpoint_secret WHERE endpoint_id = ?", id);
    } else {
      this.#sql.exec(
        "UPDATE endpoint_secret SET expires_at = ? WHERE endpoint_id = ? AND expires_at IS NULL",
        oldUntilMs,
        id,
      );
    }
    this.#addSecret(id, secret);
    this.#sql.exec(
      `DELETE FROM endpoint_secret WHERE endpoint_id = ?1 AND generation <=
         (SELECT max(generation) - ?2 FROM endpoint_secret WHERE endpoint_id = ?1)`,
      id,
      MAX_SECRETS,
    );
    this.#sql.exec("UPDATE endpoint SET updated_at = ? WHERE id = ?", nowMs, id);
  }

  /** The secrets in force, the newest first. Those whose time is over are deleted. */
  secrets(id: string, nowMs: number): string[] {
    this.#sql.exec("DELETE FROM endpoint_secret WHERE expires_at <= ?", nowMs);
    return this.#sql
      .exec<{ secret: string }>(
        "SELECT secret FROM endpoint_secret WHERE endpoint_id = ? ORDER BY generation DESC",
        id,
      )
      .toArray()
      .map(({ secret }) => secret);
  }

  #addSecret(id: string, secret: string): void {
    this.#sql.exec(
      `INSERT INTO endpoint_secret (endpoint_id, generation, secret) SELECT ?1,
         coalesce(max(generation), 0) + 1, ?2 FROM endpoint_secret WHERE endpoint_id = ?1`,
      id,
      secret,
    );
  }

  #read({ event_types, ...row }: EndpointRow): Endpoint {
    const { secret } = this.#sql
      .exec<{ secret: string }>(
        "SELECT secret FROM endpoint_secret WHERE endpoint_id = ? AND expires_at IS NULL",
        row.id,
      )
      .one();
    return {
      ...row,
      eventTypes: storedTypes.parse(JSON.parse(event_types)),
      secretHint: hint(secret),
    };
  }
}

/** Enough of a secret to tell it from another: its last four characters before the padding. */
function hint(secret: string): string {
  return `whsec_…${secret.replace(/=+$/, "").slice(-4)}`;
}
