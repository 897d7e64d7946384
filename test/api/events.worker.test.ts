import { abortAllDurableObjects } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { eventsOf, type Heard, hearAll, tasksOf } from "../support/events.ts";
import {
  call,
  DEFAULT_KEY,
  ended,
  errorOf,
  look,
  OTHER_KEY,
  open,
  post,
  results,
  unique,
  until,
  upload,
} from "../support/worker/client.ts";

function listen(
  id: string,
  query = "",
  headers: Record<string, string> = {},
  key = DEFAULT_KEY,
): Promise<Response> {
  return call(`/v1/batches/${id}/events${query}`, { headers }, key);
}

const hear = async (id: string, query?: string, headers?: Record<string, string>) =>
  hearAll(await listen(id, query, headers));

const kinds = (heard: readonly Heard[]) => heard.map(({ kind }) => kind);

/** The places in the order of recording, which must only grow. */
function placesOf(heard: readonly Heard[]): number[] {
  const places = tasksOf(heard).map(({ id }) => id);
  expect(places).toEqual(places.toSorted((a, b) => a - b));
  expect(new Set(places).size).toBe(places.length);
  return places;
}

const prompts = (count: number, text = "a") => Array.from({ length: count }, () => unique(text));

describe("the events of a batch", () => {
  it("tell status, each task, progress and the end, and then the stream is over", async () => {
    const { id } = await open({ model: "m", prompts: [...prompts(20), unique("[401]")] });
    const response = await listen(id);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    expect(response.headers.get("cache-control")).toContain("no-transform");
    const heard = await hearAll(response);
    expect(kinds(heard).slice(0, 2)).toEqual(["retry", "status"]);
    expect(kinds(heard).slice(-2)).toEqual(["progress", "end"]);
    const batch = await look(id);
    expect(heard.at(-1)).toMatchObject({ batch });
    expect(heard.at(-2)).toEqual({
      kind: "progress",
      progress: { total: 21, counts: batch.muster.counts, usage: batch.usage },
    });
    expect(placesOf(heard)).toHaveLength(21);
    const failed = tasksOf(heard).filter(({ task }) => task.state === "failed");
    expect(failed.map(({ task }) => task)).toMatchObject([
      { task_id: "task-20", index: 20, retry: false, latency_ms: expect.any(Number) },
    ]);
  });

  it("tell of a task while others still run", async () => {
    const { id } = await open({ model: "m", prompts: [unique("a"), unique("[hang always]")] });
    for await (const one of eventsOf(await listen(id))) {
      if (one.kind !== "task") continue;
      expect(one.task.task_id).toBe("task-0");
      expect((await look(id)).status).toBe("in_progress");
      break;
    }
    await call(`/v1/batches/${id}/cancel`, { method: "POST" });
  });

  it("tell changes of status: paused, resumed, cancelled", async () => {
    const { id } = await open({ model: "m", prompts: [unique("[hang always]")] });
    const steer = (step: string) => call(`/v1/batches/${id}/${step}`, { method: "POST" });
    const said: [string, boolean][] = [];
    for await (const one of eventsOf(await listen(id))) {
      if (one.kind !== "status") continue;
      const { status, muster } = one.batch;
      said.push([status, muster.paused]);
      if (status !== "in_progress") continue;
      if (said.length === 1) await steer("pause");
      else if (muster.paused) await steer("resume");
      else {
        // Of a batch without a call in flight the end is told at once.
        await until(
          () => look(id),
          (batch) => batch.muster.counts.running === 1,
        );
        await steer("cancel");
      }
    }
    expect(said.slice(0, 4)).toEqual([
      ["in_progress", false],
      ["in_progress", true],
      ["in_progress", false],
      ["cancelling", false],
    ]);
    expect(said.at(-1)).toEqual(["cancelled", false]);
  });

  it("tell of a file that is validated, and of one that fails", async () => {
    const file = await upload("{\n");
    const created = await post("/v1/batches", {
      input_file_id: file.id,
      endpoint: "/v1/chat/completions",
    });
    const { id }: { id: string } = await created.json();
    const heard = await hear(id);
    expect(heard.at(-1)).toMatchObject({ kind: "end", batch: { status: "failed" } });
    expect(await listen(id, "", { "last-event-id": "1" })).toMatchObject({ status: 204 });
  });

  it("are the results, too, if these are asked for", async () => {
    const { id } = await open({
      model: "m",
      prompts: [...prompts(5, "日本語 🎉"), unique("[400]")],
    });
    const told = tasksOf(await hear(id, "?tasks=result"));
    const { success, errors } = await results(id);
    const byId = (a: { task_id: string }, b: { task_id: string }) =>
      a.task_id.localeCompare(b.task_id);
    const entries = told.flatMap(({ task }) => task.result ?? []);
    expect(entries.toSorted(byId)).toEqual([...success, ...errors].toSorted(byId));
    expect(told.every(({ task }) => task.result?.task_id === task.task_id)).toBe(true);
  });

  it("leave the tasks out, if they are not asked for", async () => {
    const { id } = await open({ model: "m", prompts: prompts(5) });
    const heard = await hear(id, "?tasks=none");
    expect(tasksOf(heard)).toEqual([]);
    expect(kinds(heard).slice(-2)).toEqual(["progress", "end"]);
  });

  it("of a batch that has ended are all told at once", async () => {
    const { id } = await open({ model: "m", prompts: prompts(30) });
    const end = await ended(id);
    const heard = await hear(id);
    expect(placesOf(heard)).toHaveLength(30);
    expect(heard.at(-1)).toMatchObject({ kind: "end", id: "31", batch: end });
  });

  it("are more than a page of news holds", async () => {
    const { id } = await open({ model: "m", prompts: prompts(2_300) });
    await post(`/v1/batches/${id}/cancel`, "");
    await ended(id);
    expect(placesOf(await hear(id))).toHaveLength(2_300);
  });
});

describe("a stream that broke off", () => {
  it("goes on behind Last-Event-ID, without gap or repeat, whenever it broke", async () => {
    const { id } = await open({ model: "m", prompts: prompts(150), max_concurrency: 10 });
    const heard: Heard[] = [];
    let last = "";
    let streams = 0;
    while (heard.at(-1)?.kind !== "end") {
      let limit = 1 + ((streams * 7) % 20);
      streams += 1;
      for await (const one of eventsOf(
        await listen(id, "", last ? { "last-event-id": last } : {}),
      )) {
        heard.push(one);
        if (one.kind === "task") last = `${one.id}`;
        limit -= one.kind === "task" ? 1 : 0;
        if (limit === 0) break;
      }
    }
    expect(streams).toBeGreaterThan(5);
    const places = placesOf(heard);
    expect(places).toEqual(Array.from({ length: 150 }, (_, index) => index + 1));
    const told = new Set(tasksOf(heard).map(({ task }) => task.task_id));
    expect(told.size).toBe(150);
  });

  it("goes on although the batch's object was lost meanwhile", async () => {
    const { id } = await open({ model: "m", prompts: prompts(40), max_concurrency: 4 });
    const heard: Heard[] = [];
    let last = "0";
    while (heard.at(-1)?.kind !== "end") {
      try {
        for await (const one of eventsOf(await listen(id, "", { "last-event-id": last }))) {
          heard.push(one);
          if (one.kind === "task") last = `${one.id}`;
          if (one.kind === "task" && one.id === 10) await abortAllDurableObjects();
        }
      } catch {
        // The object went away under the stream; a client comes back.
      }
    }
    expect(placesOf(heard)).toHaveLength(40);
  });

  it("after the end is answered 204, so that no browser comes back for ever", async () => {
    const { id } = await open({ model: "m", prompts: prompts(3) });
    await ended(id);
    const end = (await hear(id)).at(-1);
    const again = await listen(id, "", { "last-event-id": end?.kind === "end" ? `${end.id}` : "" });
    expect(again.status).toBe(204);
    expect(await again.text()).toBe("");
  });

  it("goes on in the next run, with places that only grow", async () => {
    const { id } = await open({ model: "m", prompts: [unique("a"), unique("[503 run]")] });
    const first = await hear(id);
    const end = first.at(-1);
    expect(end).toMatchObject({ kind: "end", id: "3" });
    await post(`/v1/batches/${id}/retry`, "");
    const second = await hear(id, "", { "last-event-id": "3" });
    expect(tasksOf(second)).toMatchObject([
      { id: 4, task: { task_id: "task-1", state: "succeeded" } },
    ]);
    expect(second.at(-1)).toMatchObject({ kind: "end", id: "5" });
    // From the beginning: what is recorded now, each task once.
    const all = await hear(id);
    expect(tasksOf(all).map(({ id, task }) => [id, task.task_id])).toEqual([
      [1, "task-0"],
      [4, "task-1"],
    ]);
  });
});

describe("a stream that is refused", () => {
  it.each(["x", "-1", "1.5", "99999999999999999999"])("has Last-Event-ID %j", async (last) => {
    const { id } = await open({ model: "m", prompts: prompts(1) });
    const response = await listen(id, "", { "last-event-id": last });
    expect(response.status).toBe(400);
    expect((await errorOf(response)).message).toContain("a whole number");
  });

  it("has a Last-Event-ID that this batch never gave", async () => {
    const { id } = await open({ model: "m", prompts: prompts(1) });
    await ended(id);
    const response = await listen(id, "", { "last-event-id": "3" });
    expect(response.status).toBe(400);
    expect((await errorOf(response)).message).toContain("its last one is 2");
  });

  it("has tasks that are none of the kinds", async () => {
    const { id } = await open({ model: "m", prompts: prompts(1) });
    const response = await listen(id, "?tasks=all");
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ param: "tasks" });
  });

  it("is of a batch whose results were deleted, unless no tasks are asked for", async () => {
    const { id } = await open({ model: "m", prompts: prompts(2) });
    const { output_file_id } = await ended(id);
    await call(`/v1/files/${output_file_id}`, { method: "DELETE" });
    const response = await listen(id);
    expect(response.status).toBe(404);
    expect(await errorOf(response)).toMatchObject({ code: "results_deleted" });
    expect(kinds(await hear(id, "?tasks=none")).at(-1)).toBe("end");
  });

  it("is of another project's batch, which is nobody's", async () => {
    const { id } = await open({ model: "m", prompts: prompts(1) });
    const response = await listen(id, "", {}, OTHER_KEY);
    expect(response.status).toBe(404);
  });
});

describe("many listeners", () => {
  it("hear the same, and the batch is done all the same", async () => {
    const { id } = await open({ model: "m", prompts: prompts(200) });
    const all = await Promise.all(Array.from({ length: 20 }, () => hear(id)));
    for (const heard of all) {
      expect(tasksOf(heard)).toEqual(tasksOf(all[0] ?? []));
      expect(placesOf(heard)).toHaveLength(200);
    }
  });

  it("that go away in the middle do no harm", async () => {
    const { id } = await open({ model: "m", prompts: prompts(100), max_concurrency: 10 });
    await Promise.all(
      Array.from({ length: 10 }, async () => {
        for await (const one of eventsOf(await listen(id))) if (one.kind === "task") return;
      }),
    );
    await until(
      () => look(id),
      ({ status }) => status === "completed",
    );
  });
});
