import { exports } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { call, ended, open, unique, until } from "../support/worker/client.ts";

/** Metrics by line, without help and types. */
async function metrics(): Promise<Map<string, number>> {
  const response = await call("/metrics");
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  const lines = (await response.text()).split("\n").filter((line) => /^[a-z]/.test(line));
  return new Map(
    lines.map((line) => [line.replace(/ \S+$/, ""), Number(line.split(" ").at(-1))] as const),
  );
}

const OUTCOMES = "muster_task_outcomes_total";

describe("/metrics", () => {
  it("counts the project's batches, outcomes, tokens and bytes once they ended", async () => {
    const prompts = ["good", "[400] bad", "good too"].map((text) => unique(text));
    const { id } = await open({ model: "m", prompts });
    const batch = await ended(id);
    const found = await until(
      metrics,
      (seen) => seen.get('muster_batches{project="default",status="completed"}') === 1,
    );
    expect(found.get(`${OUTCOMES}{project="default",outcome="succeeded"}`)).toBe(2);
    expect(found.get(`${OUTCOMES}{project="default",outcome="failed"}`)).toBe(1);
    expect(found.get('muster_tasks_open{project="default",state="pending"}')).toBe(0);
    expect(found.get('muster_tasks_open{project="default",state="running"}')).toBe(0);
    const { input_tokens, output_tokens } = batch.usage;
    expect(input_tokens).toBeGreaterThan(0);
    expect(found.get('muster_tokens_total{project="default",kind="input"}')).toBe(input_tokens);
    expect(found.get('muster_tokens_total{project="default",kind="output"}')).toBe(output_tokens);
    expect(found.get('muster_result_bytes{project="default"}')).toBeGreaterThan(0);
  });

  it("is closed without a key", async () => {
    const response = await exports.default.fetch("http://muster.test/metrics");
    expect(response.status).toBe(401);
  });
});
