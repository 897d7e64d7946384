import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { readConfig } from "../../src/config.ts";
import { call, ended, open, unique, until } from "../support/worker/client.ts";

interface Upstreams {
  data: { name: string; base_url: string; quotas: Record<string, unknown>[] }[];
}

const upstreams = async (): Promise<Upstreams> => (await call("/v1/upstreams")).json();

describe("GET /v1/upstreams", () => {
  it("tells what is configured, and never the key", async () => {
    const text = await (await call("/v1/upstreams")).text();
    const { upstreams: configured } = readConfig(env);
    const { data } = JSON.parse(text) as Upstreams;
    expect(data.map(({ name, base_url }) => [name, base_url])).toEqual(
      configured.map(({ name, baseUrl }) => [name, baseUrl]),
    );
    expect(data[0]?.quotas[0]).toMatchObject({
      limits: { rpm: null, tpm: null, max_concurrency: 50 },
      learned: { rpm: null, tpm: null, told_at: null, pace_rpm: null },
      in_force: { rpm: null, tpm: null, max_concurrency: 50 },
      in_flight: 0,
      cooldown_until: null,
      health: "healthy",
    });
    expect(text).not.toContain("sk-upstream");
  });

  it("counts calls in flight, and none when they have ended", async () => {
    const prompts = Array.from({ length: 5 }, () => unique("[hang first]"));
    const { id } = await open({ model: "m", prompts });
    await until(upstreams, ({ data }) => Number(data[0]?.quotas[0]?.in_flight) > 0);
    await ended(id);
    await until(upstreams, ({ data }) => data[0]?.quotas[0]?.in_flight === 0);
  });
});
