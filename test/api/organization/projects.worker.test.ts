import { exports } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import type { ProjectObject } from "../../../src/wire/project.ts";
import { ADMIN_KEY, call, DEFAULT_KEY, errorOf } from "../../support/worker/client.ts";
import {
  admin,
  adminPost,
  newKey,
  newProject,
  PROJECTS,
} from "../../support/worker/organization.ts";

type List = { data: ProjectObject[]; has_more: boolean; last_id: string | null };

async function list(query = ""): Promise<List> {
  return (await admin(query)).json();
}

describe("projects", () => {
  it("are made, looked at, renamed and archived", async () => {
    const made = await newProject({ name: "  Nightly  " });
    expect(made).toMatchObject({
      object: "organization.project",
      id: expect.stringMatching(/^proj_[0-9a-f]{32}$/),
      name: "Nightly",
      archived_at: null,
      status: "active",
    });
    expect(await (await admin(`/${made.id}`)).json()).toEqual(made);
    const renamed = await adminPost(`/${made.id}`, { name: "Daily" });
    expect(await renamed.json()).toEqual({ ...made, name: "Daily" });
    const archived: ProjectObject = await (await adminPost(`/${made.id}/archive`, "")).json();
    expect(archived).toMatchObject({ status: "archived", archived_at: expect.any(Number) });
    expect(await (await adminPost(`/${made.id}/archive`, "")).json()).toEqual(archived);
    const late = await adminPost(`/${made.id}`, { name: "again" });
    expect(late.status).toBe(400);
    expect((await errorOf(late)).code).toBe("project_archived");
  });

  it("are listed page by page, archived ones only when asked for", async () => {
    const ids: string[] = [];
    for (let n = 0; n < 4; n += 1) ids.push((await newProject()).id);
    await adminPost(`/${ids[1]}/archive`, "");
    const seen: string[] = [];
    for (let after = ""; ; ) {
      const page = await list(`?limit=2&after=${after}`);
      seen.push(...page.data.map(({ id }) => id));
      if (!page.has_more) break;
      after = page.last_id ?? expect.fail();
    }
    expect(seen).toEqual(seen.toSorted());
    expect(new Set(seen).size).toBe(seen.length);
    expect(ids.filter((id) => seen.includes(id))).toEqual([ids[0], ids[2], ids[3]]);
    const all = await list("?limit=100&include_archived=true");
    expect(all.data.map(({ id }) => id)).toEqual(expect.arrayContaining(ids));
  });

  it("of a setting are there like others", async () => {
    const { data } = await list("?limit=100");
    expect(data.map(({ id }) => id)).toEqual(expect.arrayContaining(["default", "other"]));
    expect(await (await admin("/default")).json()).toMatchObject({
      id: "default",
      status: "active",
    });
  });

  it("keep the quotas that are set, and give those up that are null", async () => {
    const quotas = { open_batches: 5, requests_per_minute: "none" };
    const { id, muster } = await newProject({ muster: { quotas } });
    expect(muster.quotas).toEqual({
      open_batches: 5,
      waiting_tasks: null,
      stored_bytes: null,
      requests_per_minute: null,
    });
    const change = { quotas: { waiting_tasks: 7, open_batches: null } };
    const changed: ProjectObject = await (await adminPost(`/${id}`, { muster: change })).json();
    expect(changed.muster.quotas).toMatchObject({ open_batches: null, waiting_tasks: 7 });
  });

  it.each([
    ["no name", {}, "name"],
    ["an empty name", { name: " " }, "name"],
    ["a name on two lines", { name: "a\nb" }, "name"],
    ["a member unknown", { name: "a", quotas: {} }, "quotas"],
    ["a quota unknown", { name: "a", muster: { quotas: { batches: 1 } } }, "muster.quotas"],
    ["a negative quota", { name: "a", muster: { quotas: { open_batches: -1 } } }, "open_batches"],
  ])("are refused with %s", async (_, body, param) => {
    const response = await adminPost("", body);
    expect(response.status).toBe(400);
    expect(JSON.stringify(await errorOf(response))).toContain(param);
  });

  it.each([
    ["GET", "/proj_none"],
    ["POST", "/proj_none"],
    ["POST", "/proj_none/archive"],
    ["GET", "/proj_none/api_keys"],
    ["GET", "/proj_none/api_keys/key_none"],
    ["DELETE", "/proj_none/api_keys/key_none"],
    ["GET", "/default/api_keys/key_none"],
    ["POST", "/default/api_keys/key_none"],
    ["POST", "/default/api_keys/key_none/rotate"],
    ["GET", `/${"~".repeat(300)}`],
  ])("that are not there, and keys: %s %s is 404", async (method, path) => {
    const response = await admin(path, { method });
    expect(response.status).toBe(404);
    expect((await errorOf(response)).code).toBe("not_found");
  });
});

describe("the organization", () => {
  const routes = [
    ["GET", PROJECTS],
    ["POST", PROJECTS],
    ["GET", `${PROJECTS}/default`],
    ["POST", `${PROJECTS}/default/archive`],
    ["POST", `${PROJECTS}/default/api_keys`],
    ["GET", "/v1/organization/nothing"],
  ] as const;

  it.each(routes)("takes no project's key, nor none: %s %s", async (method, path) => {
    const { value } = await newKey((await newProject()).id);
    for (const key of [DEFAULT_KEY, value, `${ADMIN_KEY}x`, ADMIN_KEY.slice(0, -1)]) {
      const response = await call(path, { method }, key);
      expect(response.status).toBe(401);
      expect((await errorOf(response)).code).toBe("invalid_api_key");
    }
    const bare = new Request(`http://muster.test${path}`, { method });
    expect((await exports.default.fetch(bare)).status).toBe(401);
  });

  it("is all that the admin key opens", async () => {
    expect((await call("/v1/batches", {}, ADMIN_KEY)).status).toBe(401);
    expect((await call("/metrics", {}, ADMIN_KEY)).status).toBe(401);
    expect((await call("/v1/organization/nothing", {}, ADMIN_KEY)).status).toBe(404);
  });
});
