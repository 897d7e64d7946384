import { expect, test } from "vitest";
import { migrations } from "../../../src/batch/migrations.ts";
import { SqliteFile } from "../../simulation/sqlite.ts";

const ADDED = 12;

/** Whether a batch of the old code counts as read whole. */
function isRead(status: string, sourceKey: string | null, beganAtMs: number | null): boolean {
  const file = new SqliteFile(migrations.filter(({ idMonotonicInc }) => idMonotonicInc < ADDED));
  file.rows(
    `INSERT INTO batch (id, project, batch_id, upstream, endpoint, completion_window, on_unknown,
       created_at, expires_at, status, source_key, in_progress_at)
     VALUES (1, 'p', 'b', 'u', 'e', '24h', 'retry', 0, 0, ?, ?, ?)`,
    status,
    sourceKey,
    beganAtMs,
  );
  for (const { idMonotonicInc, sql } of migrations) {
    if (idMonotonicInc >= ADDED) file.script(sql ?? "");
  }
  const [row] = file.rows<{ source_read: number }>("SELECT source_read FROM batch");
  return row?.source_read === 1;
}

test("of the batches that there are, those that began were read whole, and those without a file", () => {
  expect(isRead("in_progress", null, 1)).toBe(true);
  expect(isRead("in_progress", "files/1", 1)).toBe(true);
  expect(isRead("cancelled", "files/1", 1)).toBe(true);
  expect(isRead("validating", "files/1", null)).toBe(false);
  expect(isRead("cancelling", "files/1", null)).toBe(false);
  expect(isRead("cancelled", "files/1", null)).toBe(false);
  expect(isRead("failed", "files/1", null)).toBe(false);
});
