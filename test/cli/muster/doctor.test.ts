import { expect, test } from "vitest";
import { verdict } from "../../../src/cli/muster/doctor.ts";

const attempt = (status_code: number | null, error: string | null = null) => ({
  attempt: 1,
  started_at: "2026-01-01T00:00:00.000Z",
  ended_at: "2026-01-01T00:00:01.000Z",
  latency_ms: 12.4,
  result: "failed" as const,
  status_code,
  error,
  upstream: "default",
});

test.each([
  [401, "It refuses Muster's key: set UPSTREAM_API_KEY."],
  [403, "It refuses Muster's key: set UPSTREAM_API_KEY."],
  [404, "Does it know the model gpt?"],
  [400, "Does it know the model gpt?"],
  [429, "Its limit is reached"],
  [503, "It has trouble of its own"],
  [null, "Check UPSTREAM_BASE_URL, and that the upstream runs."],
])("an upstream that answers %s is told what to do about", (status, todo) => {
  const found = verdict({ state: "failed", attempts: [attempt(status, "why")] }, "gpt");
  expect(found).toMatchObject({ what: "upstream", good: false });
  expect(found.said).toContain("why");
  expect(found.todo).toContain(todo);
});

test("an upstream that answers is good", () => {
  const found = verdict({ state: "succeeded", attempts: [attempt(200)] }, "gpt");
  expect(found).toEqual({ what: "upstream", good: true, said: "answered for gpt in 12 ms" });
});

test("an upstream that never answered is told of", () => {
  const found = verdict({ state: "pending", attempts: [] }, "gpt");
  expect(found).toMatchObject({ good: false, said: "no answer within 20 s" });
});
