import type { Sql } from "../core/sql.ts";
import { type Begun, type KeptAnswer, keptHeaders, TURN_MS } from "../wire/idempotency.ts";
import { newSeed } from "../wire/ids.ts";
import type { KeyRow } from "./schema.ts";

/** A key is remembered this long after its first request. */
export const KEPT_MS = 24 * 3_600_000;

/** A request that is under way, and who waits for its end. */
interface Turn {
  id: string;
  endsMs: number;
  waiting: Set<() => void>;
}

/**
 * The project's idempotency keys. What must outlive a crash is in the table: which request a key
 * belongs to, the seed of the ids it makes, and the answer once there is one. Whose turn it is is
 * memory: after a crash nobody is under way, and the next request makes the same thing from the same
 * seed.
 */
export class Idempotency {
  readonly #sql: Sql;
  readonly #turns = new Map<string, Turn>();

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /**
   * A request with a key begins.
   *
   * @param fingerprint of its method, path and body.
   * @param seed what the ids of what it makes are to be made from, if it is the first.
   */
  begin(key: string, fingerprint: string, seed: string, nowMs: number): Begun {
    this.#sql.exec("DELETE FROM idempotency WHERE key = ? AND expires_at <= ?", key, nowMs);
    this.#sql.exec(
      `INSERT OR IGNORE INTO idempotency (key, fingerprint, seed, begun_at, expires_at)
       VALUES (?, ?, ?, ?, ?)`,
      key,
      fingerprint,
      seed,
      nowMs,
      nowMs + KEPT_MS,
    );
    const row = this.#sql.exec<KeyRow>("SELECT * FROM idempotency WHERE key = ?", key).one();
    if (row.fingerprint !== fingerprint) return { kind: "other_request" };
    const answer = answerOf(row);
    if (answer !== undefined) return { kind: "replay", answer };
    const before = this.#turns.get(key);
    if (before !== undefined && before.endsMs > nowMs) return { kind: "under_way" };
    const turn = { id: newSeed(), endsMs: nowMs + TURN_MS, waiting: new Set<() => void>() };
    this.#turns.set(key, turn);
    return { kind: "run", seed: row.seed, turn: turn.id };
  }

  /** The request that has the key's turn is still under way. */
  prolong(key: string, turn: string, nowMs: number): void {
    const held = this.#turns.get(key);
    if (held?.id === turn) held.endsMs = nowMs + TURN_MS;
  }

  /** Resolves when the request that has the key's turn ends, or after `waitMs`. */
  async ended(key: string, waitMs: number): Promise<void> {
    const waiting = this.#turns.get(key)?.waiting;
    if (waiting === undefined) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, waitMs);
      waiting.add(done);
    });
  }

  /**
   * Keeps the answer of the request that was begun with a seed.
   *
   * @returns the answer to give: the one that was kept first, if two made the same thing.
   */
  keep(key: string, turn: string, seed: string, answer: KeptAnswer): KeptAnswer {
    this.#sql.exec(
      `UPDATE idempotency SET status = ?, headers = ?, body = ?
       WHERE key = ? AND seed = ? AND status IS NULL`,
      answer.status,
      JSON.stringify(answer.headers),
      answer.body,
      key,
      seed,
    );
    this.#end(key, turn);
    const [row] = this.#sql
      .exec<KeyRow>("SELECT * FROM idempotency WHERE key = ? AND seed = ?", key, seed)
      .toArray();
    return (row && answerOf(row)) ?? answer;
  }

  /** The request failed, and what it did is not known: the next one with its key does it again. */
  release(key: string, turn: string): void {
    this.#end(key, turn);
  }

  /** The request was refused and did nothing: its key is as new. */
  forget(key: string, turn: string, seed: string): void {
    if (this.#turns.get(key)?.id === turn) {
      this.#sql.exec(
        "DELETE FROM idempotency WHERE key = ? AND seed = ? AND status IS NULL",
        key,
        seed,
      );
    }
    this.#end(key, turn);
  }

  /** Takes keys out whose time is over. @returns whether there may be more. */
  expire(nowMs: number, limit: number): boolean {
    const gone = this.#sql.exec(
      `DELETE FROM idempotency WHERE key IN
         (SELECT key FROM idempotency WHERE expires_at <= ? LIMIT ?) RETURNING key`,
      nowMs,
      limit,
    );
    return gone.toArray().length === limit;
  }

  /** When the next key's time is over. */
  nextExpiryMs(): number | undefined {
    return (
      this.#sql
        .exec<{ next: number | null }>("SELECT min(expires_at) AS next FROM idempotency")
        .one().next ?? undefined
    );
  }

  #end(key: string, turnId: string): void {
    const turn = this.#turns.get(key);
    if (turn?.id !== turnId) return;
    this.#turns.delete(key);
    for (const wake of turn.waiting) wake();
  }
}

function answerOf(row: KeyRow): KeptAnswer | undefined {
  if (row.status === null || row.headers === null || row.body === null) return undefined;
  const headers = keptHeaders.parse(JSON.parse(row.headers));
  return { status: row.status, headers, body: row.body };
}
