import { describe, expect, test } from "vitest";
import { Purse } from "../../src/batch/store/purse.ts";
import { Store } from "../../src/batch/store/store.ts";
import { Tasks } from "../../src/batch/store/tasks.ts";
import type { Means } from "../../src/core/budget.ts";
import { simulate } from "./driver.ts";
import type { Options } from "./simulation.ts";

/** How many seeds are run; MUSTER_SEEDS=20000 for more. */
const SEEDS = Number(process.env.MUSTER_SEEDS ?? 1_000);
const BASE = 1;
/** Each test runs a range of them. */
const RANGES = 8;
/** A range that finds nothing takes a few seconds; a busy machine may take much longer. */
const TIMEOUT_MS = Math.max(120_000, SEEDS * 100);

describe("what the design promises holds after every step, and all comes to an end", () => {
  const size = Math.ceil(SEEDS / RANGES);
  for (let from = BASE; from < BASE + SEEDS; from += size) {
    const to = Math.min(from + size, BASE + SEEDS) - 1;
    test(`seeds ${from} to ${to}`, { timeout: TIMEOUT_MS }, async () => {
      for (let seed = from; seed <= to; seed += 1) {
        const { failure } = await simulate(seed);
        expect(failure).toBeUndefined();
      }
    });
  }
});

test("a seed always takes the same way", async () => {
  const walk = async () => {
    const lines: string[] = [];
    await simulate(7, { tell: (line) => lines.push(line) });
    return lines;
  };
  const first = await walk();
  expect(first.length).toBeGreaterThan(100);
  expect(await walk()).toEqual(first);
});

/** SQL that is wrong in one place. */
const broken = (right: string, wrong: string): Partial<Options> => ({
  rewrite: (query) => query.replaceAll(right, wrong),
});

/** A store whose requeue moves tasks and not their counts. */
class ForgetfulTasks extends Tasks {
  readonly #store: Store;

  constructor(store: Store) {
    super(store.sql, store.counts, store.purse, store.rows);
    this.#store = store;
  }

  override requeue(...said: Parameters<Tasks["requeue"]>): number {
    const moved = super.requeue(...said);
    this.#store.counts.add({ pending: -moved, running: moved });
    return moved;
  }
}

class ForgetfulStore extends Store {
  override readonly tasks = new ForgetfulTasks(this);
}

/** A purse that forgets what is reserved. */
class Spendthrift extends Purse {
  override means(): Means | undefined {
    const means = super.means();
    return means && { ...means, left: means.unspent };
  }
}

class SpendthriftStore extends Store {
  override readonly tasks = new Tasks(
    this.sql,
    this.counts,
    new Spendthrift(this.sql, this.rows, this.counts, this.prices),
    this.rows,
  );
}

/** A purse that takes what is reserved for spent. */
class Miser extends Purse {
  override means(): Means | undefined {
    const means = super.means();
    return means && { ...means, unspent: means.left };
  }
}

class MiserlyStore extends Store {
  override readonly tasks = new Tasks(
    this.sql,
    this.counts,
    new Miser(this.sql, this.rows, this.counts, this.prices),
    this.rows,
  );
}

const SABOTAGE: { what: string; options: Partial<Options>; noticed: RegExp }[] = [
  {
    what: "tasks are handed out that others have",
    options: {
      rewrite: (query) =>
        query
          .replace("state = 'pending' AND attempt > 0", "state <> 'succeeded' AND attempt > 0")
          .replace("AND state = 'pending' RETURNING seq, attempt", "RETURNING seq, attempt"),
    },
    noticed: /task \d+ went from (running|failed) to running/,
  },
  {
    what: "a requeue forgets the counts",
    options: { store: (database) => new ForgetfulStore(database) },
    noticed: /says -?\d+ tasks are pending, and \d+ are/,
  },
  {
    what: "a report of an earlier attempt counts",
    options: broken("AND attempt = ?2 AND (state", "AND attempt >= ?2 AND (state"),
    noticed:
      /failures of|has an outcome|no outcome|is not the answer|says -?\d+ tasks|UNIQUE.+outcome/,
  },
  {
    what: "a paused batch hands out tasks",
    options: broken("SELECT * FROM batch", "SELECT *, NULL AS paused_at FROM batch"),
    noticed: /handed out task \d+ while it hands out nothing/,
  },
  {
    what: "a change of a batch's limit leaves it none",
    options: broken(
      "UPDATE batch SET max_concurrency = ?, priority = ?",
      "UPDATE batch SET max_concurrency = coalesce(?, 1) - 1, priority = ?",
    ),
    noticed: /never comes/,
  },
  {
    what: "calls begin beyond the budget",
    options: { store: (database) => new SpendthriftStore(database) },
    noticed: /reserved more than its budget has left/,
  },
  {
    what: "tasks are stopped that the budget would pay for",
    options: { store: (database) => new MiserlyStore(database) },
    noticed: /was stopped, and the budget would have paid/,
  },
  {
    what: "what was reserved for a lost call stays reserved",
    options: broken(
      "RETURNING reserved_tokens, reserved_cost",
      "RETURNING 0 AS reserved_tokens, 0 AS reserved_cost",
    ),
    noticed: /says it has reserved/,
  },
  {
    what: "the twins of what ends early are forgotten",
    options: broken("WHERE twin_of = original.value", "WHERE twin_of < 0 AND 0 < original.value"),
    noticed: /with tasks open|never comes|is due/,
  },
  {
    what: "retry drops what succeeded",
    options: broken("DELETE FROM outcome WHERE ok = 0", "DELETE FROM outcome"),
    noticed: /lost the outcome of task/,
  },
  {
    what: "retry keeps the places of what it runs again",
    options: broken("DELETE FROM recorded WHERE", "DELETE FROM recorded WHERE 0 AND"),
    noticed: /has outcomes of tasks .* and places of/,
  },
  {
    what: "silent consumers keep their tasks",
    options: broken("WHERE seen_at < ? OR seen_at > ?", "WHERE seen_at < ? AND seen_at > ?"),
    noticed: /nobody knows of|never comes/,
  },
  {
    what: "the Limiter does not keep what is held",
    options: broken("INSERT OR REPLACE INTO hold", "INSERT OR IGNORE INTO hold"),
    noticed: /calls are in flight upstream/,
  },
  {
    what: "it is not kept where a task's call went",
    options: broken("upstream = ?, reserved_tokens", "upstream = substr(?, 99), reserved_tokens"),
    noticed: /and its row says/,
  },
  {
    what: "calls at one upstream are told to the other's Limiter",
    options: broken(
      "SELECT upstream, count(*) AS running FROM task",
      "SELECT iif(upstream = 'second', 'default', 'second') AS upstream, count(*) AS running FROM task",
    ),
    noticed: /calls are in flight upstream at/,
  },
  {
    what: "the project's endpoints are not asked for",
    options: broken(
      "WHERE announced_at IS NULL ORDER BY id",
      "WHERE announced_at = -1 ORDER BY id",
    ),
    noticed: /it never comes that every/,
  },
  {
    what: "one endpoint of several is forgotten",
    options: broken("WHERE value = ?) ORDER BY id", "WHERE value = ?) ORDER BY id DESC LIMIT 1"),
    noticed: /never sent evt_\w+ to whe_/,
  },
  {
    what: "a 410 does not disable",
    options: broken(
      "SET disabled_at = ?1, disabled_reason = ?2, updated_at = ?1",
      "SET name = name",
    ),
    noticed: /had a 410 of whe_\w+, which is enabled/,
  },
  {
    what: "a file is read no further once its batch is cancelled",
    options: broken(
      "SET status = 'cancelling', cancelling_at",
      "SET source_read = 1, status = 'cancelling', cancelling_at",
    ),
    noticed: /is cancelled with \d+ of \d+ tasks/,
  },
  {
    what: "the hash leaves lines out",
    options: broken(
      "SELECT line FROM outcome ORDER BY seq",
      "SELECT line FROM outcome ORDER BY seq LIMIT 2",
    ),
    noticed: /its audit is not the hash/,
  },
];

describe("what is broken on purpose is noticed", () => {
  test.each(SABOTAGE)("$what", { timeout: TIMEOUT_MS }, async ({ options, noticed }) => {
    let failure: string | undefined;
    for (let seed = 1; seed <= 300 && failure === undefined; seed += 1) {
      ({ failure } = await simulate(seed, options));
    }
    expect(failure).toMatch(noticed);
    expect(failure).toMatch(/^seed \d+, step \d+: .*npm run simulate -- --seed \d+$/s);
  });
});
