import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, it } from "vitest";
import type { BatchObject } from "../../src/wire/batch.ts";
import { startTestMuster } from "../support/muster.ts";
import { until } from "../support/wait.ts";

/**
 * An upgrade with batches under way: the fixture is what the first schema left behind when it was
 * killed (one batch done, one paused that came from a file, one in the middle), with every result
 * that had been read by then.
 */
interface AsItWas {
  done: string;
  paused: string;
  running: string;
  file: string;
  lines: string[];
}

/** Unpacks the old state, and moves its completion windows to where now is within them. */
function oldState(): { dir: string; was: AsItWas } {
  const dir = mkdtempSync(join(tmpdir(), "muster-upgrade-"));
  const fixture = join(import.meta.dirname, "../fixtures/state-of-2026-11-22.tar.gz");
  execFileSync("tar", ["-xzf", fixture, "-C", dir]);
  const objects = join(dir, "v3/do/muster-Batch");
  for (const name of readdirSync(objects).filter((file) => /^[0-9a-f]{64}\.sqlite$/.test(file))) {
    const database = new DatabaseSync(join(objects, name));
    database.prepare("UPDATE batch SET expires_at = ?").run(Date.now() + 86_400_000);
    database.close();
  }
  return { dir, was: JSON.parse(readFileSync(join(dir, "as-it-was.json"), "utf8")) as AsItWas };
}

it("goes on with the batches of the first schema, and loses and changes nothing", async () => {
  const { dir, was } = oldState();
  const muster = await startTestMuster({}, { RETENTION_HOURS: "87600" }, dir);
  try {
    const look = async (id: string) =>
      (await (await muster.get(`/batches/${id}`)).json()) as BatchObject;
    const linesOf = async (id: string) => {
      const response = await muster.get(`/batches/${id}/results`, { accept: "application/jsonl" });
      return (await response.text()).trim().split("\n");
    };
    const ended = (id: string) =>
      until(
        () => look(id),
        ({ status }) => status === "completed",
      );

    expect((await ended(was.running)).request_counts).toEqual({
      total: 60,
      completed: 60,
      failed: 0,
    });
    expect((await look(was.paused)).muster).toMatchObject({ paused: true, priority: 10 });
    expect((await muster.post(`/batches/${was.paused}/resume`, {})).status).toBe(200);
    expect((await ended(was.paused)).request_counts).toEqual({
      total: 40,
      completed: 40,
      failed: 0,
    });
    const now = new Set([...(await linesOf(was.running)), ...(await linesOf(was.done))]);
    expect(was.lines.length).toBeGreaterThan(20);
    expect(was.lines.filter((line) => !now.has(line))).toEqual([]);

    // What the old version knew is in the new tables, too.
    const list = await muster.get("/batches?status=completed");
    const { data } = (await list.json()) as { data: BatchObject[] };
    const ids = data.map(({ id }) => id).sort();
    expect(ids).toEqual([was.done, was.paused, was.running].sort());
    const content = await (await muster.get(`/files/${was.file}/content`)).text();
    expect(content.trim().split("\n")).toHaveLength(40);
    // A recorded task is never called again, by no version.
    const { calls } = muster.simulator.stats();
    const recordedBefore = was.lines.filter((line) => !line.includes("before the upgrade")).length;
    expect(calls).toBeLessThanOrEqual(60 + 40 - (recordedBefore - 2));
  } finally {
    await muster.stop();
  }
});
