import type { Sql } from "../../core/sql.ts";
import type { DeliveryRow } from "../schema.ts";

/** The webhooks of a batch: what is to be sent, and how sending went. */
export class Deliveries {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** Adds a delivery, due now. The same id twice is one delivery. */
  add(id: string, url: string, body: string, nowMs: number): void {
    this.#sql.exec(
      "INSERT OR IGNORE INTO delivery (id, url, body, next_at) VALUES (?, ?, ?, ?)",
      id,
      url,
      body,
      nowMs,
    );
  }

  /** All of them. */
  all(): DeliveryRow[] {
    return this.#sql.exec<DeliveryRow>("SELECT * FROM delivery ORDER BY rowid").toArray();
  }

  /** Makes one due again, with all its attempts anew. Undefined when there is no such one. */
  again(id: string, nowMs: number): DeliveryRow | undefined {
    return this.#sql
      .exec<DeliveryRow>(
        `UPDATE delivery SET state = 'due', attempts = 0, next_at = ? WHERE id = ? RETURNING *`,
        nowMs,
        id,
      )
      .toArray()[0];
  }

  /** Those due at `nowMs`. */
  due(nowMs: number): DeliveryRow[] {
    return this.#sql
      .exec<DeliveryRow>("SELECT * FROM delivery WHERE state = 'due' AND next_at <= ?", nowMs)
      .toArray();
  }

  /** When the next one is due. */
  nextMs(): number | undefined {
    return (
      this.#sql
        .exec<{ next: number | null }>(
          "SELECT min(next_at) AS next FROM delivery WHERE state = 'due'",
        )
        .one().next ?? undefined
    );
  }

  /** Records an attempt: delivered, given up, or due again at `nextMs`. */
  attempted(
    id: string,
    state: DeliveryRow["state"],
    nextMs: number,
    status: number | null,
    error: string | null,
  ): void {
    this.#sql.exec(
      `UPDATE delivery SET state = ?, attempts = attempts + 1, next_at = ?, last_status = ?,
         last_error = ? WHERE id = ? AND state = 'due'`,
      state,
      nextMs,
      status,
      error,
      id,
    );
  }
}
