import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { GIVE_UP_MS, giveUpUnopened } from "../../src/project/expire.ts";
import { ProjectStore } from "../../src/project/store.ts";
import { Unopened } from "../../src/project/unopened.ts";
import { projectStub } from "../../src/stubs.ts";
import type { Endpoint } from "../../src/wire/batch.ts";
import { ownInputFileId } from "../../src/wire/ids.ts";
import { OPEN_WITHIN_MS } from "../../src/wire/messages.ts";
import { UNBOUNDED } from "../../src/wire/quota.ts";
import { unique } from "../support/worker/client.ts";
import { newBatch, plant, stubOf, unopened } from "../support/worker/store.ts";

const ENDPOINT: Endpoint = "/v1/chat/completions";
const SIZE = { tasks: 1, bytes: 100 };

/** Lets a project's batches have been asked for earlier. */
function age(project: string, ms: number): Promise<void> {
  return runInDurableObject(projectStub(env, project), (_, { storage }) => {
    storage.sql.exec("UPDATE batch SET asked_at = asked_at - ?", ms);
  });
}

/** What is in a project's index, and since when it is waited for. */
function indexOf(project: string): Promise<Record<string, number | null>> {
  return runInDurableObject(projectStub(env, project), (_, { storage }) =>
    Object.fromEntries(
      storage.sql
        .exec<{ batch_id: string; asked_at: number | null }>("SELECT batch_id, asked_at FROM batch")
        .toArray()
        .map(({ batch_id, asked_at }) => [batch_id, asked_at]),
    ),
  );
}

const ring = (project: string) => runDurableObjectAlarm(projectStub(env, project));

describe("a batch that is in the index and was never opened", () => {
  it("is taken out once nobody can open it any more, by the alarm, with its file", async () => {
    const project = unique("project");
    const index = projectStub(env, project);
    const [id = ""] = await unopened(project, 1);
    const nowMs = Date.now();
    await index.addFile(
      {
        id: ownInputFileId(id),
        purpose: "batch",
        filename: "a.jsonl",
        bytes: 10,
        created_at: nowMs,
        expires_at: nowMs + 30 * 86_400_000,
        r2_key: `files/${project}/a`,
        sha256: null,
        lines: 1,
        batch_id: null,
        kind: null,
      },
      UNBOUNDED,
    );
    await age(project, GIVE_UP_MS - 60_000);
    await ring(project);
    expect(Object.keys(await indexOf(project))).toEqual([id]);
    const alarmMs = await runInDurableObject(index, (_, { storage }) => storage.getAlarm());
    expect(alarmMs).toBeGreaterThan(Date.now());
    expect(alarmMs).toBeLessThan(Date.now() + 61_000);
    await age(project, 60_000);
    await ring(project);
    expect(await indexOf(project)).toEqual({});
    expect((await index.getFile(ownInputFileId(id))).ok).toBe(false);
    // A list that was being read goes on behind it.
    expect(await index.listBatches({ after: id, limit: 1 } as never)).toMatchObject({ ok: true });
  });

  it("stays while it is asked for again", async () => {
    const project = unique("project");
    const index = projectStub(env, project);
    const [id = ""] = await unopened(project, 1);
    await age(project, GIVE_UP_MS + 1);
    const again = { project, batch_id: id };
    await index.addBatch(again, ENDPOINT, null, false, SIZE, UNBOUNDED);
    await ring(project);
    expect(Object.keys(await indexOf(project))).toEqual([id]);
  });

  it("stays if it is asked for again while it is looked for", async () => {
    const project = unique("project");
    const ids = await unopened(project, 2);
    await age(project, GIVE_UP_MS + 1);
    await runInDurableObject(projectStub(env, project), async (object, { storage }) => {
      const ask = async (batch_id: string) => {
        if (batch_id !== ids[0]) return false;
        object.addBatch({ project, batch_id }, ENDPOINT, null, false, SIZE, UNBOUNDED);
        return false;
      };
      const { sql } = storage;
      await giveUpUnopened(new ProjectStore(sql), new Unopened(sql), ask, Date.now);
    });
    expect(Object.keys(await indexOf(project))).toEqual([ids[0]]);
  });

  it("is asked another time when its object is out of reach, and holds up no other", async () => {
    const project = unique("project");
    const ids = await unopened(project, 2);
    await age(project, GIVE_UP_MS + 1);
    const beforeMs = Date.now();
    await runInDurableObject(projectStub(env, project), async (_, { storage: { sql } }) => {
      const ask = (id: string) =>
        id === ids[0] ? Promise.reject(new Error("out of reach")) : Promise.resolve(false);
      await giveUpUnopened(new ProjectStore(sql), new Unopened(sql), ask, Date.now);
    });
    const left = await indexOf(project);
    expect(Object.keys(left)).toEqual([ids[0]]);
    expect(left[ids[0] ?? ""]).toBeGreaterThanOrEqual(beforeMs);
  });

  it("is not opened so late that it may have been given up", async () => {
    const late = { created_at: Date.now() - OPEN_WITHIN_MS - 1_000 };
    const batch = newBatch(late);
    await runInDurableObject(stubOf(batch), (object) =>
      expect(object.open(batch, [])).rejects.toThrow("may have given it up"),
    );
    expect((await stubOf(batch).view()).ok).toBe(false);
    expect(await stubOf(batch).isOpened()).toBe(false);
    // One that is open is answered however late.
    const open = newBatch();
    await plant(open, ["[after an hour]"], () => undefined);
    expect((await stubOf(open).open({ ...open, ...late }, [])).ok).toBe(true);
  });
});

describe("a batch that is open and was not heard of", () => {
  it.each(["runs", "was deleted by its client"])("and %s stays in the index", async (how) => {
    const project = unique("project");
    const batch = newBatch({ project });
    const ref = { project, batch_id: batch.batch_id };
    const index = projectStub(env, project);
    await index.addBatch(ref, ENDPOINT, null, false, SIZE, UNBOUNDED);
    await plant(batch, [unique("[after an hour]")], (store) => {
      if (how !== "runs") store.sql.exec("UPDATE batch SET removed_at = ?", Date.now() + 60_000);
    });
    await age(project, GIVE_UP_MS + 1);
    await ring(project);
    expect(await indexOf(project)).toEqual({ [batch.batch_id]: null });
  });
});
