import type { TestProject } from "vitest/node";
import { startSimulator } from "../../src/simulator/index.ts";
import { startReceiver } from "./receiver.ts";

/**
 * Starts what the worker tests talk to over real HTTP: the simulator as upstream, and a webhook
 * receiver. A prompt chooses its fault by a marker in it, so that tests do not share settings.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const simulator = await startSimulator({
    latency: { kind: "fixed", ms: 5 },
    faults: [
      { kind: "status", code: 500, match: "[500 first]", attempts: "first" },
      { kind: "status", code: 503, match: "[503 always]", attempts: "always" },
      { kind: "status", code: 429, match: "[429 first]", attempts: "first", retryAfterMs: 50 },
      { kind: "status", code: 400, match: "[400]", attempts: "always" },
      { kind: "status", code: 401, match: "[401]", attempts: "always" },
      { kind: "status", code: 403, match: "[403]", attempts: "always" },
      { kind: "status", code: 404, match: "[404]", attempts: "always" },
      { kind: "status", code: 422, match: "[422]", attempts: "always" },
      { kind: "insufficient_quota", match: "[no money]", attempts: "always" },
      { kind: "reset", match: "[reset first]", attempts: "first" },
      { kind: "hang", match: "[hang first]", attempts: "first" },
      { kind: "hang_body", match: "[hang body first]", attempts: "first" },
      { kind: "hang", match: "[hang always]", attempts: "always" },
      { kind: "truncated", match: "[truncated first]", attempts: "first" },
      { kind: "truncated", match: "[cut first]", attempts: "first", chunked: true },
      { kind: "not_json", match: "[not json first]", attempts: "first" },
      { kind: "redirect", match: "[redirect]", attempts: "always" },
      { kind: "huge", match: "[huge]", attempts: "always", bytes: 3_000_000 },
      { kind: "pretty", match: "[pretty]", attempts: "always" },
    ],
  });
  const receiver = await startReceiver();
  project.provide("upstreamUrl", simulator.url);
  project.provide("receiverUrl", receiver.url);
  return async () => {
    await simulator.close();
    await receiver.close();
  };
}

declare module "vitest" {
  interface ProvidedContext {
    upstreamUrl: string;
    receiverUrl: string;
  }
}
