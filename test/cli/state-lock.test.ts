import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { lockState } from "../../src/cli/state-lock.ts";
import { temporaryDir } from "./support.ts";

test("one at a time, and free again after", async () => {
  const dir = join(temporaryDir(), "made/on the way");
  const unlock = await lockState(dir);
  await expect(lockState(dir)).rejects.toThrow(/Another Muster is using .*MUSTER_STATE_DIR/);
  unlock();
  (await lockState(dir))();
});

test("a directory that cannot be made names the variable", async () => {
  const file = join(temporaryDir(), "file");
  writeFileSync(file, "");
  await expect(lockState(join(file, "state"))).rejects.toThrow(/^MUSTER_STATE_DIR takes/);
});
