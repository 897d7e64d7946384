import { env, evictDurableObject, runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { gateStub } from "../../../src/stubs.ts";
import type { ApiKeyObject } from "../../../src/wire/api-key.ts";
import {
  call,
  DEFAULT_KEY,
  errorOf,
  OTHER_KEY,
  post,
  unique,
} from "../../support/worker/client.ts";
import { ask, BATCHES } from "../../support/worker/messages.ts";
import {
  admin,
  adminPost,
  newKey,
  newProject,
  statusOf,
} from "../../support/worker/organization.ts";

/** Ends the time of a project's keys, or of old values, that have one. What was in memory is gone. */
async function expire(project: string, table: "key" | "secret"): Promise<void> {
  const gate = gateStub(env, project);
  await runInDurableObject(gate, (_, { storage }) => {
    storage.sql.exec(`UPDATE ${table} SET expires_at = 1 WHERE expires_at IS NOT NULL`);
  });
  await evictDurableObject(gate);
}

async function keyOf(project: string, id: string): Promise<ApiKeyObject> {
  return (await admin(`/${project}/api_keys/${id}`)).json();
}

describe("a key of the admin API", () => {
  it("opens its project and no other", async () => {
    const { id } = await newProject();
    const { value } = await newKey(id);
    const opened = await post("/v1/batches", { model: "m", prompts: [unique("a")] }, value);
    expect(opened.status).toBe(202);
    const batch: { id: string } = await opened.json();
    expect(await statusOf(value, `/v1/batches/${batch.id}`)).toBe(200);
    expect(await statusOf(DEFAULT_KEY, `/v1/batches/${batch.id}`)).toBe(404);
    expect(
      await statusOf((await newKey((await newProject()).id)).value, `/v1/batches/${batch.id}`),
    ).toBe(404);
  });

  it("may be one of several of a project that a setting names, beside the setting's", async () => {
    const one = await newKey("other", { name: "one" });
    const two = await newKey("other", { name: "two" });
    expect(one.value).not.toBe(two.value);
    for (const key of [one.value, two.value, OTHER_KEY]) expect(await statusOf(key)).toBe(200);
  });

  it("is shown once, and stored as its hash", async () => {
    const { id } = await newProject();
    const key = await newKey(id);
    const secret = key.value.slice(-43);
    expect(key.redacted_value).toMatch(/….{4}$/);
    for (const path of [`/${id}/api_keys`, `/${id}/api_keys/${key.id}`, `/${id}`]) {
      expect(await (await admin(path)).text()).not.toContain(secret);
    }
    const stored = await runInDurableObject(gateStub(env, id), (_, { storage }) =>
      ["profile", "key", "secret"].flatMap((table) =>
        storage.sql.exec(`SELECT * FROM ${table}`).toArray().flatMap(Object.values),
      ),
    );
    const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(key.value));
    expect(stored).toContainEqual(hash);
    expect(stored.filter((value) => typeof value === "string").join()).not.toContain(secret);
  });

  it.each([
    ["a wrong last character", (key: string) => key.slice(0, -1) + (key.endsWith("A") ? "B" : "A")],
    [
      "another project's name",
      (key: string) => key.replace(/proj_./, (name) => `${name.slice(0, -1)}f`),
    ],
    [
      "the secret of one and the project of another",
      (key: string) => `sk-muster-default-${key.slice(-43)}`,
    ],
    ["its redacted value", (key: string) => `${key.slice(0, -43)}…${key.slice(-4)}`],
  ])("is not known with %s", async (_, spoil) => {
    const { id } = await newProject();
    const { value } = await newKey(id);
    expect(await statusOf(encodeURI(spoil(value)))).toBe(401);
    expect(await statusOf(value)).toBe(200);
  });

  it("that is made up leaves no tables behind", async () => {
    const project = `proj_${crypto.randomUUID().replaceAll("-", "")}`;
    expect(await statusOf(`sk-muster-${project}-${"A".repeat(43)}`)).toBe(401);
    const tables = await runInDurableObject(gateStub(env, project), (_, { storage }) =>
      storage.sql.exec("SELECT name FROM sqlite_master").toArray(),
    );
    expect(tables).toEqual([]);
  });

  it("tells when it was used last, to the minute", async () => {
    const { id } = await newProject();
    const key = await newKey(id);
    expect(key.last_used_at).toBeNull();
    await statusOf(key.value);
    const { last_used_at } = await keyOf(id, key.id);
    expect(Math.abs((last_used_at ?? 0) - Date.now() / 1000)).toBeLessThan(60);
    const writesOf = () =>
      runInDurableObject(gateStub(env, id), (_, { storage }) => {
        const { rowsWritten } = storage.sql.exec("SELECT last_used_at FROM key");
        return [rowsWritten, storage.sql.exec("SELECT last_used_at FROM key").one()];
      });
    const before = await writesOf();
    for (let n = 0; n < 3; n += 1) await statusOf(key.value);
    expect(await writesOf()).toEqual(before);
  });
});

interface Revoked {
  id: string;
  key: string;
}

describe("revoking", () => {
  it("a key bites the very next request", async () => {
    const { id } = await newProject();
    const [key, kept] = [await newKey(id), await newKey(id)];
    for (let n = 0; n < 3; n += 1) expect(await statusOf(key.value)).toBe(200);
    const removed = await admin(`/${id}/api_keys/${key.id}`, { method: "DELETE" });
    expect(await removed.json()).toEqual({
      object: "organization.project.api_key.deleted",
      id: key.id,
      deleted: true,
    });
    expect(await statusOf(key.value)).toBe(401);
    expect(await statusOf(kept.value)).toBe(200);
    expect((await admin(`/${id}/api_keys/${key.id}`)).status).toBe(404);
  });

  it.each([
    ["a key", ({ id, key }: Revoked) => admin(`/${id}/api_keys/${key}`, { method: "DELETE" })],
    ["a project", ({ id }: Revoked) => adminPost(`/${id}/archive`, {})],
  ])("%s ends what its key waits for and what it follows", async (_, revoke) => {
    const { id } = await newProject();
    const key = await newKey(id);
    // Its one call is made again in an hour.
    const prompts = [unique("[after an hour]")];
    const made = await post("/v1/batches", { model: "m", prompts }, key.value);
    const batch: { id: string } = await made.json();
    const path = `/v1/batches/${batch.id}`;
    const events = await call(`${path}/events`, {}, key.value);
    const waiting = call(path, { headers: { prefer: "wait=3" } }, key.value);
    await revoke({ id, key: key.id });
    expect((await waiting).status).toBe(401);
    const told = await events.text();
    expect(told).toContain("event: status");
    expect(told).not.toContain("event: end");
  });

  it("an archived project's keys open nothing, and a setting's neither", async () => {
    const { id } = await newProject();
    const { value } = await newKey(id);
    expect((await adminPost(`/${id}/archive`, "")).status).toBe(200);
    const refused = await call("/v1/batches", {}, value);
    expect(refused.status).toBe(401);
    expect((await errorOf(refused)).code).toBe("project_archived");
    expect((await adminPost(`/${id}/api_keys`, { name: "late" })).status).toBe(400);
  });
});

describe("rotating", () => {
  it("ends the old value at once when there is no grace", async () => {
    const { id } = await newProject();
    const key = await newKey(id);
    const rotated: ApiKeyObject & { value: string } = await (
      await adminPost(`/${id}/api_keys/${key.id}/rotate`, "")
    ).json();
    expect(rotated).toMatchObject({ id: key.id, name: key.name, scopes: key.scopes });
    expect(rotated.value).not.toBe(key.value);
    expect(await statusOf(key.value)).toBe(401);
    expect(await statusOf(rotated.value)).toBe(200);
  });

  it("keeps the old value good for the grace, and no longer", async () => {
    const { id } = await newProject();
    const key = await newKey(id);
    const rotated: { value: string } = await (
      await adminPost(`/${id}/api_keys/${key.id}/rotate`, { grace_seconds: 3600 })
    ).json();
    expect(await statusOf(key.value)).toBe(200);
    expect(await statusOf(rotated.value)).toBe(200);
    await expire(id, "secret");
    expect(await statusOf(key.value)).toBe(401);
    expect(await statusOf(rotated.value)).toBe(200);
  });

  it("again without grace ends all values before", async () => {
    const { id } = await newProject();
    const key = await newKey(id);
    const path = `/${id}/api_keys/${key.id}/rotate`;
    const second: { value: string } = await (await adminPost(path, { grace_seconds: 60 })).json();
    const third: { value: string } = await (await adminPost(path, { grace_seconds: 0 })).json();
    for (const old of [key.value, second.value]) expect(await statusOf(old)).toBe(401);
    expect(await statusOf(third.value)).toBe(200);
  });
});

describe("an expiry", () => {
  it("ends a key, and says so to who has it", async () => {
    const { id } = await newProject();
    const key = await newKey(id, { expires_in_seconds: 3600 });
    expect(Math.abs((key.expires_at ?? 0) - Date.now() / 1000 - 3600)).toBeLessThan(60);
    expect(await statusOf(key.value)).toBe(200);
    await expire(id, "key");
    const refused = await call("/v1/batches", {}, key.value);
    expect(refused.status).toBe(401);
    expect(await errorOf(refused)).toMatchObject({
      code: "expired_api_key",
      message: expect.stringContaining("1970-01-01"),
    });
    await adminPost(`/${id}/api_keys/${key.id}`, { expires_in_seconds: null });
    expect(await statusOf(key.value)).toBe(200);
  });
});

describe("the scope read", () => {
  it("takes GET and HEAD, and nothing else, at all doors", async () => {
    const { id } = await newProject();
    const { value, scopes } = await newKey(id, { scopes: ["read"] });
    expect(scopes).toEqual(["read"]);
    expect(await statusOf(value)).toBe(200);
    expect((await call("/v1/batches", { method: "HEAD" }, value)).status).toBe(200);
    expect(await statusOf(value, "/metrics")).toBe(200);
    for (const [method, path] of [
      ["POST", "/v1/batches"],
      ["PATCH", "/v1/batches/batch_1"],
      ["DELETE", "/v1/files/file-1"],
      ["POST", "/v1/chat/completions"],
      ["POST", "/v1/nothing"],
    ] as const) {
      const refused = await call(path, { method }, value);
      expect(refused.status).toBe(403);
      expect(await errorOf(refused)).toMatchObject({
        code: "insufficient_permissions",
        message: expect.stringContaining("'write'"),
      });
    }
    expect((await ask(BATCHES, {}, value)).status).toBe(200);
    const refused = await ask(BATCHES, { method: "POST", body: "{}" }, value);
    expect(refused.status).toBe(403);
    expect(await refused.json()).toMatchObject({ error: { type: "permission_error" } });
  });

  it("is in write, and can be changed while the key is in use", async () => {
    const { id } = await newProject();
    const key = await newKey(id, { scopes: ["write"] });
    expect(key.scopes).toEqual(["read", "write"]);
    const body = { model: "m", prompts: [unique("a")] };
    expect((await post("/v1/batches", body, key.value)).status).toBe(202);
    await adminPost(`/${id}/api_keys/${key.id}`, { scopes: ["read"], name: "reads" });
    expect((await post("/v1/batches", body, key.value)).status).toBe(403);
    expect(await keyOf(id, key.id)).toMatchObject({ name: "reads", scopes: ["read"] });
  });
});

describe("an address that sends many wrong keys", () => {
  const from = (address: string, key: string) =>
    call("/v1/batches", { headers: { "cf-connecting-ip": address } }, key);

  it("is told to wait, and its right key is answered all the same", async () => {
    const address = "198.51.100.7";
    for (let n = 0; n < 20; n += 1) {
      const { status } = await from(address, `wrong-key-${n}`);
      expect(status).toBe(401);
    }
    const slowed = await from(address, "wrong-key-again");
    expect(slowed.status).toBe(429);
    expect(Number(slowed.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await errorOf(slowed)).code).toBe("too_many_wrong_keys");
    expect((await from(address, DEFAULT_KEY)).status).toBe(200);
    expect((await from("198.51.100.8", "wrong-key")).status).toBe(401);
  });
});
