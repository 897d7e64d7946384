import type { Report } from "../../src/batch/exchange.ts";
import type { BatchRow, ProgressRow } from "../../src/batch/schema.ts";
import type { Usage } from "../../src/core/usage.ts";
import type { SqliteFile } from "./sqlite.ts";

type Spender = {
  seq: number;
  state: string;
  attempt: number;
  twin_of: number | null;
  claimed_at: number | null;
  input_tokens: number;
  output_tokens: number | null;
  reserved_tokens: number;
  reserved_cost: number;
  price_input: number;
  price_cached: number;
  price_output: number;
  line: string | null;
};

const SPENDERS = `
  SELECT task.seq, state, attempt, twin_of, claimed_at, input_tokens, output_tokens, reserved_tokens,
    reserved_cost, price.input AS price_input, price.cached_input AS price_cached,
    price.output AS price_output, outcome.line
  FROM task JOIN price ON price.id = task.price LEFT JOIN outcome USING (seq)`;

/** What the calls of one batch really took, and so what it must say it has spent. */
export class SpendingLedger {
  readonly #file: SqliteFile;
  readonly #fail: (what: string) => never;
  /** By `seq/attempt`. */
  readonly #used = new Map<string, Usage>();

  constructor(file: SqliteFile, fail: (what: string) => never) {
    this.#file = file;
    this.#fail = fail;
  }

  /** Notes what came of a call. */
  called({ seq, attempt, usage }: Report): void {
    if (usage !== undefined) this.#used.set(`${seq}/${attempt}`, usage);
  }

  /** Checks that every call that was reported is counted once, and every one in flight reserved. */
  check(row: BatchRow, progress: ProgressRow): void {
    const tasks = this.#file.rows<Spender>(SPENDERS);
    const attempts = this.#file.rows<{ seq: number; attempt: number; counts: number }>(
      "SELECT seq, attempt, verdict <> 'lost' OR took_ms IS NOT NULL AS counts FROM attempt",
    );
    const byAttempt = new Map(attempts.map((one) => [`${one.seq}/${one.attempt}`, one.counts]));
    const bySeq = new Map(tasks.map((task) => [task.seq, task]));
    const spent = { tokens: 0, cost: 0 };
    const count = (seq: number, attempt: number) => {
      const usage = this.#used.get(`${seq}/${attempt}`);
      const task = bySeq.get(seq);
      if (usage === undefined || task === undefined) return;
      spent.tokens += usage.input_tokens + usage.output_tokens;
      spent.cost += costOf(task, usage);
    };
    for (const { seq, attempt, counts } of attempts) if (counts === 1) count(seq, attempt);
    const reserved = { tokens: 0, cost: 0 };
    let stopped = 0;
    for (const task of tasks) {
      const { seq, state, attempt, claimed_at, line } = task;
      // The attempt that ended its task has no row of its own.
      const ended = line !== null && claimed_at !== null;
      if (ended && !byAttempt.has(`${seq}/${attempt}`)) count(seq, attempt);
      if (state === "running") {
        reserved.tokens += task.reserved_tokens;
        reserved.cost += task.reserved_cost;
      }
      if (line?.includes('"code":"budget_stopped"')) {
        stopped += 1;
        // A twin ends as its original does, whatever it would have needed itself.
        if (task.twin_of === null) this.#checkStopped(task, row, progress);
      }
    }
    const said = progress.input_tokens + progress.output_tokens;
    if (said !== spent.tokens || progress.cost !== spent.cost) {
      this.#fail(
        `says it spent ${said} tokens and ${progress.cost} nano-dollars, and spent ${spent.tokens} and ${spent.cost}`,
      );
    }
    if (progress.reserved_tokens !== reserved.tokens || progress.reserved_cost !== reserved.cost) {
      this.#fail(
        `says it has reserved ${progress.reserved_tokens} and ${progress.reserved_cost}, and has ${reserved.tokens} and ${reserved.cost}`,
      );
    }
    if (progress.budget_stopped !== stopped) {
      this.#fail(
        `says its budget stopped ${progress.budget_stopped} tasks, and it stopped ${stopped}`,
      );
    }
  }

  /** Nobody is stopped whom the budget would still have paid for. */
  readonly #judged = new Set<string>();

  #checkStopped(task: Spender, row: BatchRow, progress: ProgressRow): void {
    const key = `${task.seq}/${row.run}`;
    if (this.#judged.has(key)) return;
    this.#judged.add(key);
    const { input_tokens, output_tokens } = task;
    const most = { input_tokens, cached_tokens: 0, output_tokens: output_tokens ?? 1 };
    const tokens = progress.input_tokens + progress.output_tokens + input_tokens;
    const overTokens = tokens + most.output_tokens > (row.max_tokens_total ?? tokens * 2 + 1e9);
    const overCost = progress.cost + costOf(task, most) > (row.max_cost ?? 1e15);
    if (!overTokens && !overCost) {
      this.#fail(`task ${task.seq} was stopped, and the budget would have paid for it`);
    }
  }
}

/** In floating point, which is exact for numbers as small as these: not by the code that is tested. */
function costOf(
  task: Spender,
  used: Pick<Usage, "input_tokens" | "cached_tokens" | "output_tokens">,
): number {
  const fresh = used.input_tokens - used.cached_tokens;
  const millionths =
    fresh * task.price_input +
    used.cached_tokens * task.price_cached +
    used.output_tokens * task.price_output;
  return Math.ceil(millionths / 1e6);
}
