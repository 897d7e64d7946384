import type { Sql } from "../core/sql.ts";
import type { EndpointAttempt } from "./endpoint-rpc.ts";
import type { EndpointAttemptRow } from "./schema.ts";

/** Attempts at one endpoint that are kept. */
const KEPT = 100;

/** The last attempts to send to a project's endpoints. */
export class AttemptStore {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** Adds an attempt, and drops those that are too old to be kept. Twice is once. */
  add(attempt: EndpointAttempt): void {
    this.#sql.exec(
      `INSERT OR IGNORE INTO endpoint_attempt (endpoint_id, delivery_id, n, batch_id, event_id,
         type, started_at, took_ms, status, error, next_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      attempt.endpointId,
      attempt.deliveryId,
      attempt.n,
      attempt.batchId,
      attempt.eventId,
      attempt.type,
      attempt.startedMs,
      attempt.tookMs,
      attempt.status,
      attempt.error,
      attempt.nextMs,
    );
    this.#sql.exec(
      `DELETE FROM endpoint_attempt WHERE endpoint_id = ?1 AND started_at <
         (SELECT started_at FROM endpoint_attempt WHERE endpoint_id = ?1
          ORDER BY started_at DESC LIMIT 1 OFFSET ?2)`,
      attempt.endpointId,
      KEPT - 1,
    );
  }

  /** Those at one endpoint, the newest first. */
  all(endpointId: string): EndpointAttemptRow[] {
    return this.#sql
      .exec<EndpointAttemptRow>(
        `SELECT delivery_id, n, batch_id, event_id, type, started_at, took_ms, status, error,
           next_at FROM endpoint_attempt WHERE endpoint_id = ?
         ORDER BY started_at DESC, delivery_id, n DESC`,
        endpointId,
      )
      .toArray();
  }

  /** Drops those of an endpoint that is deleted. */
  remove(endpointId: string): void {
    this.#sql.exec("DELETE FROM endpoint_attempt WHERE endpoint_id = ?", endpointId);
  }
}
