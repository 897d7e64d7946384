import type { Sql } from "../../core/sql.ts";
import type { Subscriber } from "../../project/endpoint-rpc.ts";
import type { Sent } from "../../webhooks/deliver.ts";
import type { Event } from "../../wire/event.ts";
import type { DeliveryAttemptRow, DeliveryHistory, DeliveryRow, EventRow } from "../schema.ts";

/** Attempts of one delivery that are kept: more than its schedule has, sent again by hand or not. */
const KEPT_ATTEMPTS = 30;

/** An attempt that the Project has not heard of, with what it needs to know of its delivery. */
export type UntoldRow = DeliveryAttemptRow &
  Pick<DeliveryRow, "event_id" | "type"> & { endpoint_id: string };

/** The events of a batch, and its webhooks: what is to be sent, and how sending went. */
export class Deliveries {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** Adds an event, and its delivery to the batch's own webhook, if there is one, due now. */
  add(event: Event, webhookUrl: string | null, nowMs: number): void {
    const body = JSON.stringify(event);
    this.#sql.exec(
      "INSERT OR IGNORE INTO event (id, type, body) VALUES (?, ?, ?)",
      event.id,
      event.type,
      body,
    );
    if (webhookUrl === null) return;
    this.#insert({ ...event, body }, event.id, null, webhookUrl, nowMs);
    // A receiver that said 410 is not called for later events either, unless somebody wants it.
    this.#sql.exec(
      `UPDATE delivery SET state = 'failed', last_error = ? WHERE id = ? AND EXISTS (SELECT 1
         FROM delivery WHERE endpoint_id IS NULL AND state = 'failed' AND last_status = 410)`,
      "The receiver answered 410 to an earlier event. Send this one again to try it.",
      event.id,
    );
  }

  /** The next event that the project's endpoints have not been told of. */
  unannounced(): EventRow | undefined {
    return this.#sql
      .exec<EventRow>("SELECT * FROM event WHERE announced_at IS NULL ORDER BY id LIMIT 1")
      .toArray()[0];
  }

  /** Makes an event's deliveries to endpoints due. Once: the second time changes nothing. */
  announce(event: EventRow, endpoints: readonly Subscriber[], nowMs: number): void {
    const first = this.#sql
      .exec(
        "UPDATE event SET announced_at = ? WHERE id = ? AND announced_at IS NULL RETURNING id",
        nowMs,
        event.id,
      )
      .toArray();
    if (first.length === 0) return;
    for (const { id, url } of endpoints) {
      this.#insert(event, `${event.id}_${id}`, id, url, nowMs);
    }
  }

  /** All of them. */
  all(): DeliveryHistory[] {
    const rows = this.#sql.exec<DeliveryRow>("SELECT * FROM delivery ORDER BY rowid").toArray();
    return rows.map((delivery) => this.#withAttempts(delivery));
  }

  /** Makes one due again, with its schedule anew. Undefined when there is no such one. */
  again(id: string, nowMs: number): DeliveryHistory | undefined {
    const [row] = this.#sql
      .exec<DeliveryRow>(
        `UPDATE delivery SET state = 'due', attempts = 0, round = round + 1, next_at = ?
         WHERE id = ? RETURNING *`,
        nowMs,
        id,
      )
      .toArray();
    return row === undefined ? undefined : this.#withAttempts(row);
  }

  /** Those due at `nowMs`, the longest due first. */
  due(nowMs: number, limit: number): DeliveryRow[] {
    return this.#sql
      .exec<DeliveryRow>(
        "SELECT * FROM delivery WHERE state = 'due' AND next_at <= ? ORDER BY next_at LIMIT ?",
        nowMs,
        limit,
      )
      .toArray();
  }

  /** When there is next something to do: to announce, to send, or to tell the Project. */
  nextMs(nowMs: number): number | undefined {
    const { waiting, next } = this.#sql
      .exec<{ waiting: number; next: number | null }>(
        `SELECT EXISTS (SELECT 1 FROM event WHERE announced_at IS NULL)
           OR EXISTS (SELECT 1 FROM delivery_attempt WHERE told = 0) AS waiting,
           (SELECT min(next_at) FROM delivery WHERE state = 'due') AS next`,
      )
      .one();
    return waiting === 1 ? nowMs : (next ?? undefined);
  }

  /** Puts one off, because its receiver asked to be left alone. No attempt was made. */
  postpone({ id, round }: DeliveryRow, untilMs: number): void {
    this.#sql.exec(
      "UPDATE delivery SET next_at = ? WHERE id = ? AND round = ? AND state = 'due'",
      untilMs,
      id,
      round,
    );
  }

  /** Gives one up without an attempt: its endpoint takes nothing any more. */
  stop({ id, round }: DeliveryRow, reason: string): void {
    this.#sql.exec(
      `UPDATE delivery SET state = 'failed', last_status = NULL, last_error = ?
       WHERE id = ? AND round = ? AND state = 'due'`,
      reason,
      id,
      round,
    );
  }

  /**
   * Records an attempt: delivered, given up, or due again. One that was made due again by hand
   * meanwhile stays so. Run it inside a transaction.
   *
   * @param url where it was sent to.
   */
  attempted({ id, round, endpoint_id }: DeliveryRow, url: string, sent: Sent): void {
    const { state, nextMs, status, error, startedMs, tookMs, restMs } = sent;
    this.#sql.exec(
      `UPDATE delivery SET state = ?, attempts = attempts + 1, next_at = ?, url = ?,
         last_status = ?, last_error = ? WHERE id = ? AND round = ? AND state = 'due'`,
      state,
      nextMs,
      url,
      status,
      error,
      id,
      round,
    );
    this.#sql.exec(
      `INSERT INTO delivery_attempt (delivery_id, n, started_at, took_ms, status, error, next_at,
         rest_until, told)
       SELECT ?1, coalesce(max(n), 0) + 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
       FROM delivery_attempt WHERE delivery_id = ?1`,
      id,
      startedMs,
      tookMs,
      status,
      error,
      state === "due" ? nextMs : null,
      restMs === 0 ? 0 : startedMs + tookMs + restMs,
      endpoint_id === null ? 1 : 0,
    );
    this.#sql.exec(
      `DELETE FROM delivery_attempt WHERE delivery_id = ?1 AND told = 1 AND n <=
         (SELECT max(n) - ?2 FROM delivery_attempt WHERE delivery_id = ?1)`,
      id,
      KEPT_ATTEMPTS,
    );
  }

  /** Attempts at endpoints that the Project is still to hear of. */
  untold(limit: number): UntoldRow[] {
    return this.#sql
      .exec<UntoldRow>(
        `SELECT delivery_attempt.*, event_id, type, endpoint_id FROM delivery_attempt
         JOIN delivery ON delivery.id = delivery_id WHERE told = 0 LIMIT ?`,
        limit,
      )
      .toArray();
  }

  /** The Project has heard of these. */
  told(attempts: readonly DeliveryAttemptRow[]): void {
    for (const { delivery_id, n } of attempts) {
      this.#sql.exec(
        "UPDATE delivery_attempt SET told = 1 WHERE delivery_id = ? AND n = ?",
        delivery_id,
        n,
      );
    }
  }

  #withAttempts(delivery: DeliveryRow): DeliveryHistory {
    const attempts = this.#sql
      .exec<DeliveryAttemptRow>(
        "SELECT * FROM delivery_attempt WHERE delivery_id = ? ORDER BY n",
        delivery.id,
      )
      .toArray();
    return { delivery, attempts };
  }

  #insert(
    event: Pick<EventRow, "id" | "type" | "body">,
    id: string,
    endpointId: string | null,
    url: string,
    nowMs: number,
  ): void {
    this.#sql.exec(
      `INSERT OR IGNORE INTO delivery (id, event_id, type, endpoint_id, url, body, next_at)
       VALUES (?, ?, ?, ?, ?, ?, ?)`,
      id,
      event.id,
      event.type,
      endpointId,
      url,
      event.body,
      nowMs,
    );
  }
}
