import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { createApp } from "../../src/api/app.ts";

const readyz = (bindings: object) => createApp().request("/readyz", {}, bindings);

describe("/readyz", () => {
  it("is ready with a key, an upstream and objects that answer", async () => {
    const response = await readyz(env);
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ status: "ready", problems: [] });
  });

  it("names every setting that is missing", async () => {
    const unset = { MUSTER_API_KEYS: undefined, MUSTER_ADMIN_KEY: undefined };
    const bare = { ...env, ...unset, UPSTREAM_BASE_URL: undefined };
    const response = await readyz(bare);
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({
      status: "not_ready",
      problems: [
        "No API keys: set the secret MUSTER_API_KEYS.",
        "No upstream: set UPSTREAM_BASE_URL, and UPSTREAM_API_KEY, or UPSTREAMS.",
      ],
    });
  });

  it("names every setting that is wrong, and never its value", async () => {
    const response = await readyz({ ...env, UPSTREAM_RPM: "fast-secret", UPSTREAM_TPM: "0" });
    expect(response.status).toBe(503);
    const text = await response.text();
    expect(JSON.parse(text).problems.map((line: string) => line.split(" ")[0])).toEqual([
      "UPSTREAM_RPM",
      "UPSTREAM_TPM",
    ]);
    expect(text).not.toContain("fast-secret");
  });

  it("says so when objects do not answer", async () => {
    const response = await readyz({ ...env, PROJECT: undefined });
    expect(response.status).toBe(503);
    expect(await response.text()).toContain("Durable Objects do not answer");
  });
});
