import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { callUpstream } from "../../src/consumer/call.ts";
import { callGround } from "../support/call-ground.ts";
import { upstreamAt } from "../support/upstream.ts";

const HEARD_MS = 50;
const TIMEOUT_MS = 1_000;
const EVENTS = { headers: { "content-type": "text/event-stream" } };

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** A streamed call to an upstream that answers so; when it was given up, and when it was over. */
async function course(answer: (signal: AbortSignal) => Promise<Response>) {
  const upstream = upstreamAt("http://upstream.test/v1", undefined, {
    streamChat: true,
    timeoutMs: TIMEOUT_MS,
  });
  const task = { seq: 0, attempt: 1, upstream: "default", body: "{}", startInMs: 0 };
  vi.stubGlobal("fetch", (_: string, { signal }: { signal: AbortSignal }) => answer(signal));
  const startMs = Date.now();
  let overMs: number | undefined;
  const report = callUpstream(task, "/v1/chat/completions", upstream, callGround());
  void report.then(() => {
    overMs = Date.now() - startMs;
  });
  await vi.advanceTimersByTimeAsync(2 * TIMEOUT_MS);
  return { overMs, result: (await report).result };
}

describe("a call is over when its upstream has heard that it is", () => {
  test("given up in time", async () => {
    const never = (signal: AbortSignal) =>
      new Promise<Response>((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason));
      });
    const { overMs, result } = await course(never);
    expect(result).toMatchObject({ code: "timeout" });
    expect(overMs).toBe(TIMEOUT_MS + HEARD_MS);
  });

  test("given up in its stream, which goes on", async () => {
    let cancelled = false;
    const body = new ReadableStream({
      start: (stream) => {
        const error = { error: { message: "overloaded", type: "server_error" } };
        stream.enqueue(new TextEncoder().encode(`data: ${JSON.stringify(error)}\n\n`));
      },
      cancel: () => {
        cancelled = true;
      },
    });
    const { overMs } = await course(async () => new Response(body, EVENTS));
    expect(cancelled).toBe(true);
    expect(overMs).toBe(HEARD_MS);
  });

  test("ended by the upstream itself, at once", async () => {
    const body =
      'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n';
    const { overMs, result } = await course(async () => new Response(body, EVENTS));
    expect(result).toMatchObject({ kind: "answered" });
    expect(overMs).toBe(0);
  });
});
