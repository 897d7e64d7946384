import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Assignment, ExchangeReply, ExchangeRequest } from "../../src/batch/exchange.ts";
import { Conversation } from "../../src/consumer/conversation.ts";
import { Lanes } from "../../src/consumer/lanes.ts";
import { Slots } from "../../src/consumer/slots.ts";
import { planLanes } from "../../src/consumer/weight.ts";
import { type Simulator, startSimulator } from "../../src/simulator/index.ts";
import type { Endpoint } from "../../src/wire/batch.ts";
import { roomyMemory } from "../support/call-ground.ts";
import { upstreamAt } from "../support/upstream.ts";

/**
 * What the platform does to an invocation and the local runtime does not: six connections may wait
 * for response headers, and a seventh waits silently. Here a gate around `fetch` does it, before a
 * simulated upstream over real HTTP.
 */

const SIX = 6;
const LATENCY_MS = 400;

/** Lets `most` requests wait for their headers at once. */
function gated(most: number, real: typeof fetch): typeof fetch {
  const gate = new Slots(most);
  return async (input, init) => {
    await gate.enter();
    try {
      return await real(input, init);
    } finally {
      gate.leave();
    }
  };
}

let simulator: Simulator;

beforeEach(async () => {
  simulator = await startSimulator({ latency: { kind: "fixed", ms: LATENCY_MS } });
  vi.stubGlobal("fetch", gated(SIX, fetch));
});

afterEach(async () => {
  vi.unstubAllGlobals();
  await simulator.close();
});

interface Run {
  /** Tasks that were out at once: each has its permit. */
  mostHeld: number;
  /** Calls that the upstream had at once. */
  mostInFlight: number;
  /** How long a call took at the most, as the consumer saw it. */
  longestMs: number;
  wallMs: number;
}

/** One invocation's conversation with a batch of so many tasks, which gets a permit for each it wants. */
async function run(
  count: number,
  streamChat: boolean,
  lanes: { connections: number; streamLanes: number },
  endpoint: Endpoint = "/v1/chat/completions",
): Promise<Run> {
  const upstream = upstreamAt(simulator.url, { maxConcurrency: 1_000 }, { streamChat });
  const plan = planLanes(lanes.connections, lanes.streamLanes);
  const seen: Run = { mostHeld: 0, mostInFlight: 0, longestMs: 0, wallMs: 0 };
  let next = 0;
  let done = 0;
  const exchange = async (request: ExchangeRequest): Promise<ExchangeReply> => {
    for (const { verdict, tookMs } of request.reports) {
      expect(verdict).toEqual({ kind: "succeeded" });
      seen.longestMs = Math.max(seen.longestMs, tookMs);
    }
    done += request.reports.length;
    const tasks: Assignment[] = [];
    while (next < count && tasks.length < request.want) {
      const asked =
        endpoint === "/v1/embeddings"
          ? { input: `q ${next}` }
          : { messages: [{ role: "user", content: `q ${next}` }] };
      const body = JSON.stringify({ model: "m", ...asked });
      tasks.push({ seq: next, attempt: 1, upstream: "default", body, startInMs: 0 });
      next += 1;
    }
    seen.mostHeld = Math.max(seen.mostHeld, request.holding.length + tasks.length);
    return {
      endpoint,
      tasks,
      more: count - next,
      waitMs: next < count ? 100 : null,
      contended: false,
      end: done === count,
      invite: null,
    };
  };
  const startMs = performance.now();
  await new Conversation({
    holder: "h1",
    invited: false,
    upstreams: [upstream],
    lanes: new Lanes(plan.count),
    plan,
    slots: new Slots(lanes.connections),
    memory: roomyMemory(),
    exchange,
    listen: () => new Promise(() => undefined),
    invite: () => undefined,
    over: () => false,
    spend: () => undefined,
    heartbeatMs: 10_000,
  }).run();
  return {
    ...seen,
    mostInFlight: simulator.stats().mostInFlight,
    wallMs: Math.round(performance.now() - startMs),
  };
}

const DEFAULTS = { connections: SIX, streamLanes: 30 };

describe("with six connections that may wait for headers", () => {
  test("six calls are in flight when they are not streamed, and six tasks are held", async () => {
    const plain = await run(60, false, { connections: SIX, streamLanes: 0 });
    expect(plain).toMatchObject({ mostInFlight: SIX, mostHeld: SIX });
  });

  test("thirty are when they are streamed", async () => {
    const streamed = await run(120, true, DEFAULTS);
    expect(streamed).toMatchObject({ mostInFlight: 30, mostHeld: 30 });
  });

  test("more lanes without streaming would only hold permits for calls that wait", async () => {
    const wide = await run(60, false, { connections: 30, streamLanes: 0 });
    expect(wide).toMatchObject({ mostInFlight: SIX, mostHeld: 30 });
    // Their time runs before their request is sent.
    expect(wide.longestMs).toBeGreaterThan(2 * LATENCY_MS);
  });

  test("a call's time runs from when its request is sent", async () => {
    simulator.configure({ latency: { kind: "fixed", ms: LATENCY_MS }, headersFirst: false });
    const streamed = await run(60, true, DEFAULTS);
    expect(streamed.longestMs).toBeLessThan(2 * LATENCY_MS);
  });

  test("six calls of an endpoint that is not streamed are, beside an upstream that streams", async () => {
    const embeddings = await run(36, true, DEFAULTS, "/v1/embeddings");
    expect(embeddings).toMatchObject({ mostInFlight: SIX, mostHeld: SIX });
  });
});
