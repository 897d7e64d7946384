import { beforeAll, describe, expect, it } from "vitest";
import type { BatchObject } from "../../src/wire/batch.ts";
import {
  call,
  ended,
  look,
  OTHER_KEY,
  open,
  post,
  unique,
  until,
} from "../support/worker/client.ts";
import { newKey, newProject } from "../support/worker/organization.ts";
import { newBatch, stubOf, tamper, unopened } from "../support/worker/store.ts";

interface BatchList {
  object: string;
  data: BatchObject[];
  first_id: string | null;
  last_id: string | null;
  has_more: boolean;
}

async function listed(query = ""): Promise<BatchList> {
  const response = await call(`/v1/batches${query}`);
  expect(response.status).toBe(200);
  return response.json();
}

describe("the list of batches", () => {
  const opened: string[] = [];

  beforeAll(async () => {
    for (let n = 0; n < 23; n += 1) {
      const { id } = await open({ model: "m", prompts: [unique(`batch ${n}`)] });
      opened.push(id);
    }
    await Promise.all(opened.map(ended));
  });

  it("gives the newest twenty first, and says that there is more", async () => {
    const list = await listed();
    const newest = opened.toReversed().slice(0, 20);
    expect(list.data.map(({ id }) => id)).toEqual(newest);
    expect(list).toMatchObject({
      object: "list",
      first_id: newest[0],
      last_id: newest.at(-1),
      has_more: true,
    });
  });

  it("gives each batch as its own route does", async () => {
    const { data } = await listed("?limit=3");
    for (const batch of data) expect(batch).toEqual(await look(batch.id));
  });

  it.each([1, 5, 22, 23, 24, 100])("walks every batch once, %d at a time", async (limit) => {
    const walked: string[] = [];
    let after: string | null = null;
    for (;;) {
      const page: BatchList = await listed(
        `?limit=${limit}${after === null ? "" : `&after=${after}`}`,
      );
      expect(page.data.length).toBe(Math.min(limit, opened.length - walked.length));
      expect([page.first_id, page.last_id]).toEqual([page.data[0]?.id, page.data.at(-1)?.id]);
      walked.push(...page.data.map(({ id }) => id));
      after = page.last_id;
      expect(page.has_more).toBe(walked.length < opened.length);
      if (!page.has_more) break;
    }
    expect(walked).toEqual(opened.toReversed());
  });

  it("has nothing behind the oldest", async () => {
    expect(await listed(`?after=${opened[0]}`)).toEqual({
      object: "list",
      data: [],
      first_id: null,
      last_id: null,
      has_more: false,
    });
  });

  it("is empty for a project without batches", async () => {
    const response = await call("/v1/batches", {}, OTHER_KEY);
    expect(await response.json()).toMatchObject({ data: [], first_id: null, has_more: false });
  });

  it("is full although ids in the index have no batch, and ends where the index does", async () => {
    const { id: project } = await newProject();
    const key = (await newKey(project)).value;
    const body = { model: "m", prompts: ["[after an hour]"] };
    const made: string[] = [];
    await unopened(project, 1);
    for (const dead of [0, 60, 1]) {
      const response = await post("/v1/batches", body, key);
      made.unshift((await response.json<BatchObject>()).id);
      await unopened(project, dead);
    }
    const page = async (query: string): Promise<BatchList> =>
      (await call(`/v1/batches?${query}`, {}, key)).json();
    const walked: string[] = [];
    for (let after = ""; ; after = `&after=${walked.at(-1)}`) {
      const { data, has_more } = await page(`limit=1${after}`);
      if (!has_more && data.length === 0) break;
      expect(data).toHaveLength(1);
      walked.push(...data.map(({ id }) => id));
    }
    expect(walked).toEqual(made);
    expect(await page("limit=3")).toMatchObject({ data: made.map((id) => ({ id })) });
    // One that was deleted, and is still in the index.
    const [newest = "", ...rest] = made;
    const stub = stubOf(newBatch({ project, batch_id: newest }));
    await tamper(stub, "UPDATE batch SET removed_at = 1");
    const { data } = await page("limit=2");
    expect(data.map(({ id }) => id)).toEqual(rest);
  });

  it("filters by status, and by a part of the id, the model or the metadata", async () => {
    const metadata = { Topic: "Zebras and 縞馬" };
    const { id } = await open({ model: "Special-Model", prompts: [unique("one")], metadata });
    await ended(id);
    const only = async (query: string) => (await listed(query)).data.map((batch) => batch.id);
    await until(
      () => only(`?status=completed&search=${id}`),
      (ids) => ids.length === 1,
    );
    for (const word of ["special-mod", "ZEBRAS", encodeURIComponent("縞馬"), id.slice(-12)]) {
      expect(await only(`?search=${word}`)).toEqual([id]);
    }
    expect(await only("?search=no-such-thing")).toEqual([]);
    expect(await only(`?status=failed&search=${id}`)).toEqual([]);
    expect((await only("?status=completed&limit=100")).length).toBe(opened.length + 1);
    expect((await call("/v1/batches?status=done")).status).toBe(400);
  });
});
