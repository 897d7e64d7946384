import { describe, expect, it } from "vitest";
import { readHistory } from "../../../src/batch/store/history.ts";
import { readOutcomes } from "../../../src/batch/store/outcomes.ts";
import { record, type Standing } from "../../../src/batch/store/record.ts";
import type { Store } from "../../../src/batch/store/store.ts";
import {
  countsByState,
  countsKept,
  newBatch,
  plant,
  RULES,
  report,
} from "../../support/worker/store.ts";

const NOW = 1_800_000_000_000;
const BYTES = 1_000_000;
/** A way beside which there is no other, and whose other calls are answered. */
const FREE = (): Standing => ({ othersPass: true, meaning: (verdict) => verdict });
const note = (store: Store, ...reports: ReturnType<typeof report>[]) =>
  store.transaction(() => {
    for (const one of reports) record(store, one, "batch_x", RULES, NOW, 0.5, FREE);
  });

/** After every step the kept counts are those of the rows, and every final task has one outcome. */
function expectSound(store: Store): void {
  const counts = countsByState(store);
  expect(countsKept(store.progress())).toEqual(counts);
  const { succeeded = 0, failed = 0, cancelled = 0, expired = 0 } = counts;
  const outcomes = readOutcomes(store.sql, "all", -1, 1000, BYTES);
  expect(outcomes).toHaveLength(succeeded + failed + cancelled + expired);
}

describe("claiming", () => {
  it("hands tasks out in input order, each once", () =>
    plant(newBatch(), ["a", "b", "c"], (store) => {
      expect(store.tasks.claim(2, "h", BYTES, NOW).map(({ seq }) => seq)).toEqual([0, 1]);
      expect(store.tasks.claim(5, "i", BYTES, NOW).map(({ seq }) => seq)).toEqual([2]);
      expect(store.tasks.claim(5, "i", BYTES, NOW)).toEqual([]);
      expectSound(store);
    }));

  it("stops at the bytes it may hand out, but never at none", () =>
    plant(newBatch(), ["x".repeat(600), "x".repeat(600), "x".repeat(600)], (store) => {
      expect(store.tasks.claim(3, "h", 1_500, NOW)).toHaveLength(2);
      expect(store.tasks.claim(3, "h", 10, NOW)).toHaveLength(1);
      expectSound(store);
    }));

  it("hands out due retries before fresh tasks, and parked ones not at all", () =>
    plant(newBatch(), ["a", "b", "c"], (store) => {
      store.tasks.claim(2, "h", BYTES, NOW);
      note(store, report(0, 1, { kind: "retry", afterMs: 5_000 }), report(1, 1, { kind: "retry" }));
      expect(store.tasks.ready(99, NOW)).toBe(1);
      expect(store.tasks.nextDueMs(NOW)).toBe(NOW + 50);
      expect(store.tasks.claim(9, "h", BYTES, NOW + 60).map(({ seq }) => seq)).toEqual([1, 2]);
      expect(store.tasks.claim(9, "h", BYTES, NOW + 5_000)).toMatchObject([{ seq: 0, attempt: 2 }]);
      expectSound(store);
    }));
});

describe("recording", () => {
  it("keeps the first final outcome and ignores every later report", () =>
    plant(newBatch(), ["a"], (store) => {
      store.tasks.claim(1, "h", BYTES, NOW);
      note(store, report(0, 1, { kind: "succeeded" }));
      note(store, report(0, 1, { kind: "failed" }), report(0, 2, { kind: "failed" }));
      expect(countsKept(store.progress())).toMatchObject({ succeeded: 1, failed: 0 });
      expect(readOutcomes(store.sql, "output", -1, 9, BYTES)[0]?.line).toContain('"attempt":1');
      expectSound(store);
    }));

  it("ignores a report of an attempt that is not the current one", () =>
    plant(newBatch(), ["a"], (store) => {
      store.tasks.claim(1, "lost", BYTES, NOW);
      store.transaction(() => store.tasks.requeue("lost", [], NOW));
      expect(store.tasks.claim(1, "next", BYTES, NOW)).toMatchObject([{ seq: 0, attempt: 2 }]);
      note(store, report(0, 1, { kind: "failed" }));
      expect(countsKept(store.progress())).toMatchObject({ running: 1 });
      note(store, report(0, 2, { kind: "succeeded" }));
      expect(countsKept(store.progress())).toMatchObject({ succeeded: 1 });
      expectSound(store);
    }));

  it("fails a task when its attempts are used up, and says that a retry may help", () =>
    plant(newBatch(), ["a"], (store) => {
      for (let attempt = 1; attempt <= RULES.maxAttempts; attempt += 1) {
        expect(store.tasks.claim(1, "h", BYTES, NOW + attempt * 10_000)).toHaveLength(1);
        note(store, report(0, attempt, { kind: "retry" }));
      }
      expect(countsKept(store.progress())).toMatchObject({ failed: 1, pending: 0 });
      expect(readOutcomes(store.sql, "error", -1, 9, BYTES)).toMatchObject([{ retry: 1 }]);
      expectSound(store);
    }));

  it("takes the answer of a call whose task was taken back, if nobody has it yet", () =>
    plant(newBatch(), ["a"], (store) => {
      store.tasks.claim(1, "slow", BYTES, NOW);
      store.transaction(() => store.tasks.requeue("slow", [], NOW));
      note(store, report(0, 1, { kind: "succeeded" }));
      expect(countsKept(store.progress())).toMatchObject({ pending: 0, running: 0, succeeded: 1 });
      expectSound(store);
    }));

  it("fails a task that alone gets 429s while others are answered, and only such a one", () =>
    plant(newBatch(), ["poison", "a", "b", "c", "d", "e", "f", "g", "h"], (store) => {
      const seen: string[] = [];
      for (let round = 0; round < 8; round += 1) {
        const [poison, other] = store.tasks.claim(2, "h", BYTES, NOW + round * 3_600_000);
        if (poison?.seq !== 0 || other === undefined) break;
        note(store, report(0, poison.attempt, { kind: "throttled" }));
        note(store, report(other.seq, other.attempt, { kind: "succeeded" }));
        seen.push(countsByState(store).failed === 1 ? "failed" : "open");
      }
      expect(seen).toEqual(["open", "open", "open", "open", "open", "failed"]);
      expectSound(store);
    }));

  it("never uses up an attempt for a 429", () =>
    plant(newBatch(), ["a"], (store) => {
      for (let attempt = 1; attempt <= 20; attempt += 1) {
        const later = NOW + attempt * 3_600_000;
        expect(store.tasks.claim(1, "h", BYTES, later)).toMatchObject([{ attempt }]);
        note(store, report(0, attempt, { kind: "throttled" }));
      }
      expect(countsKept(store.progress())).toMatchObject({ pending: 1 });
      expectSound(store);
    }));

  it("counts the bytes of the output and error files exactly", () =>
    plant(newBatch(), ["a", "b"], (store) => {
      store.tasks.claim(2, "h", BYTES, NOW);
      note(store, report(0, 1, { kind: "succeeded" }), report(1, 1, { kind: "failed" }));
      for (const [kind, bytes] of [
        ["output", store.progress().output_bytes],
        ["error", store.progress().error_bytes],
      ] as const) {
        const lines = readOutcomes(store.sql, kind, -1, 9, BYTES).map(({ line }) => `${line}\n`);
        expect(new TextEncoder().encode(lines.join("")).length).toBe(bytes);
      }
    }));
});

describe("a conversation that lost claims", () => {
  it("keeps those it has and gives the others back", () =>
    plant(newBatch(), ["a", "b", "c"], (store) => {
      store.tasks.claim(3, "h", BYTES, NOW);
      store.transaction(() => store.tasks.requeue("h", [{ seq: 1, attempt: 1 }], NOW));
      expect(store.tasks.heldBy("h")).toBe(1);
      expect(countsKept(store.progress())).toMatchObject({ pending: 2, running: 1 });
      expectSound(store);
    }));
});

describe("the upstream of a call", () => {
  const claim = (store: Store, limit: number, upstream: string | null) =>
    store.transaction(() =>
      store.tasks.claim(limit, "h", BYTES, NOW, ({ cost }) => cost, upstream),
    );
  const attemptsOf = (store: Store, customId: string) =>
    readHistory(store.sql, customId)?.attempts.map(({ upstream }) => upstream);

  it("is counted by, as tasks come and go; of one from before it was kept it is null", () =>
    plant(newBatch(), ["a", "b", "c", "d"], (store) => {
      expect([...store.tasks.runningBy()]).toEqual([]);
      claim(store, 1, null);
      claim(store, 1, "one");
      claim(store, 2, "two");
      expect(Object.fromEntries(store.tasks.runningBy())).toEqual({ null: 1, one: 1, two: 2 });
      note(store, report(2, 1, { kind: "succeeded" }), report(1, 1, { kind: "retry" }));
      expect(Object.fromEntries(store.tasks.runningBy())).toEqual({ null: 1, two: 1 });
      store.transaction(() => store.tasks.requeue("h", [], NOW));
      expect([...store.tasks.runningBy()]).toEqual([]);
    }));

  it("is what it was after a transaction that was undone", () =>
    plant(newBatch(), ["a", "b"], (store) => {
      claim(store, 1, "one");
      const undone = () =>
        store.transaction(() => {
          store.tasks.claim(1, "h", BYTES, NOW, ({ cost }) => cost, "two");
          expect(store.tasks.runningBy().get("two")).toBe(1);
          throw new Error("undone");
        });
      expect(undone).toThrow("undone");
      expect(Object.fromEntries(store.tasks.runningBy())).toEqual({ one: 1 });
    }));

  it("is told of each attempt, lost ones and the last one too", () =>
    plant(newBatch(), ["a"], (store) => {
      claim(store, 1, "one");
      note(store, report(0, 1, { kind: "retry" }));
      store.tasks.claim(1, "lost", BYTES, NOW + 60_000, ({ cost }) => cost, "two");
      store.transaction(() => store.tasks.requeue("lost", [], NOW));
      store.tasks.claim(1, "h", BYTES, NOW + 60_000, ({ cost }) => cost, "three");
      note(store, report(0, 3, { kind: "succeeded" }));
      expect(attemptsOf(store, "task-0")).toEqual(["one", "two", "three"]);
    }));
});

describe("closing", () => {
  const error = { code: "batch_expired", message: "Too late." };

  it("gives every pending task its line, in steps, and leaves running ones alone", () =>
    plant(newBatch(), ["a", "b", "c", "d", "e"], (store) => {
      store.tasks.claim(1, "h", BYTES, NOW);
      for (let step = 0; step < 4; step += 1) {
        store.transaction(() =>
          store.closing.next({ state: "expired", error }, "batch_req_x_", 2, NOW),
        );
        expectSound(store);
      }
      expect(countsKept(store.progress())).toMatchObject({ running: 1, expired: 4, pending: 0 });
      const lines = readOutcomes(store.sql, "error", -1, 9, BYTES).map(({ line }) =>
        JSON.parse(line),
      );
      expect(lines[0]).toEqual({
        id: "batch_req_x_1",
        custom_id: "task-1",
        response: null,
        error,
      });
    }));

  it("closes a task that came back from running after the others were closed", () =>
    plant(newBatch(), ["a", "b", "c"], (store) => {
      store.tasks.claim(1, "h", BYTES, NOW);
      const close = () =>
        store.transaction(() =>
          store.closing.next({ state: "cancelled", error }, "batch_req_x_", 10, NOW),
        );
      close();
      note(store, report(0, 1, { kind: "retry" }));
      close();
      close();
      expect(countsKept(store.progress())).toMatchObject({ cancelled: 3, pending: 0, running: 0 });
      expectSound(store);
    }));
});

describe("an object that comes back from eviction", () => {
  it("goes on with the first task that was never handed out", () => {
    const batch = newBatch();
    return plant(batch, ["a", "b", "c"], async (store, state) => {
      store.tasks.claim(2, "h", BYTES, NOW);
      const { Store: Fresh } = await import("../../../src/batch/store/store.ts");
      const again = new Fresh(state.storage);
      expect(again.tasks.claim(9, "h", BYTES, NOW).map(({ seq }) => seq)).toEqual([2]);
    });
  });
});
