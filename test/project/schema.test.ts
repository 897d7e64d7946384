import { expect, test } from "vitest";
import { migrations } from "../../src/project/schema.ts";
import { ProjectStore } from "../../src/project/store.ts";
import { SqliteFile } from "../simulation/sqlite.ts";

const upTo = (last: number) => migrations.filter(({ idMonotonicInc: id }) => id <= last);
const script = (after: number) =>
  migrations
    .filter(({ idMonotonicInc: id }) => id > after)
    .map(({ sql }) => sql)
    .join("\n");

test("names of files are cut that are longer than any is now, and others stay", () => {
  const file = new SqliteFile(upTo(9));
  for (const [id, name] of [
    ["a", "n".repeat(78_000)],
    ["b", "あ".repeat(200)],
  ]) {
    file.rows(
      `INSERT INTO file (id, purpose, filename, bytes, created_at) VALUES (?, 'batch', ?, 1, 1)`,
      id ?? "",
      name ?? "",
    );
  }
  file.script(script(9));
  const store = new ProjectStore(file.open().sql);
  expect(store.file("a", 2)?.filename).toBe("n".repeat(255));
  expect(store.file("b", 2)?.filename).toBe("あ".repeat(200));
});
