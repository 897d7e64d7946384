import { expect, test } from "vitest";
import { migrations } from "../../src/project/schema.ts";
import { Unopened } from "../../src/project/unopened.ts";
import { SqliteFile } from "../simulation/sqlite.ts";

test("of the batches of an index from before, those are waited for that told nothing", () => {
  const before = migrations.filter(({ idMonotonicInc }) => idMonotonicInc < 10);
  const file = new SqliteFile(before);
  file.script(`
    INSERT INTO batch (batch_id, created_at) VALUES ('batch_dead', 1000), ('batch_told', 2000);
    INSERT INTO digest SELECT batch_id, 'completed', '/v1/embeddings', NULL, NULL, 0, 0, 0, 3000,
      0, 0, 1, 0, 0, 0 FROM batch WHERE batch_id = 'batch_told'`);
  for (const { sql } of migrations.slice(before.length)) file.script(sql ?? "");
  const unopened = new Unopened(file.open().sql);
  expect(unopened.due(10_000, 10)).toEqual(["batch_dead"]);
  expect(unopened.oldestMs()).toBe(1_000);
  // Nobody can be asked about it before the project has heard its own name.
  expect(unopened.project()).toBeUndefined();
  unopened.introduce("default");
  expect(unopened.project()).toBe("default");
});
