import { describe, expect, it } from "vitest";
import { migrations } from "../../src/batch/migrations.ts";
import { lastPlace, readNews } from "../../src/batch/store/news.ts";
import { SqliteFile } from "../simulation/sqlite.ts";

/** Storage as it was before the order of recording was kept. */
function old(status: string, outcomes: [seq: number, recordedAtMs: number][]): SqliteFile {
  const file = new SqliteFile(migrations.filter(({ idMonotonicInc }) => idMonotonicInc < 6));
  file.rows(
    `INSERT INTO batch (id, project, batch_id, upstream, endpoint, completion_window, on_unknown,
       status, created_at, expires_at) VALUES (1, 'p', 'b', 'u', 'e', '24h', 'retry', ?, 0, 0)`,
    status,
  );
  for (const [seq, atMs] of outcomes) {
    file.rows(
      "INSERT INTO task (seq, custom_id, state, cost) VALUES (?, ?, 'succeeded', 1)",
      seq,
      `task-${seq}`,
    );
    file.rows(
      "INSERT INTO outcome (seq, ok, retry, recorded_at, line) VALUES (?, 1, 0, ?, '{}')",
      seq,
      atMs,
    );
  }
  return file;
}

function upgrade(file: SqliteFile) {
  const added = migrations.filter(({ idMonotonicInc }) => idMonotonicInc >= 6);
  for (const { sql } of added) file.script(sql ?? "");
  return file.open().sql;
}

describe("a batch from before the order of recording was kept", () => {
  it("that has ended has its outcomes in the order of their times, and an end behind them", () => {
    const sql = upgrade(
      old("completed", [
        [0, 30],
        [1, 10],
        [2, 20],
        [3, 10],
      ]),
    );
    expect(readNews(sql, 0, 10, undefined).map(({ place, seq }) => [place, seq])).toEqual([
      [1, 1],
      [2, 3],
      [3, 2],
      [4, 0],
    ]);
    expect(lastPlace(sql)).toBe(5);
  });

  it("that runs goes on behind the outcomes it has", () => {
    const sql = upgrade(
      old("in_progress", [
        [0, 30],
        [1, 10],
      ]),
    );
    expect(lastPlace(sql)).toBe(2);
    sql.exec("INSERT INTO task (seq, custom_id, state, cost) VALUES (7, 'x', 'failed', 1)");
    sql.exec("INSERT INTO outcome (seq, ok, retry, recorded_at, line) VALUES (7, 0, 1, 5, '[]')");
    expect(readNews(sql, 2, 10, { maxBytes: 1 })).toMatchObject([
      { place: 3, custom_id: "x", state: "failed", ok: 0, retry: 1, line: "[]" },
    ]);
    sql.exec("UPDATE batch SET status = 'cancelling'");
    expect(lastPlace(sql)).toBe(3);
    sql.exec("UPDATE batch SET status = 'cancelled'");
    expect(lastPlace(sql)).toBe(4);
  });
});
