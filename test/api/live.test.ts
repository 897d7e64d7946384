import { describe, expect, it } from "vitest";
import { liveEvents } from "../../src/api/live.ts";
import type { NewsReply, NewsRequest } from "../../src/batch/listening.ts";
import type { NewsRow } from "../../src/batch/store/news.ts";
import type { BatchObject, BatchStatus } from "../../src/wire/batch.ts";

/** A batch object as far as events look into it. */
function batchOf(status: BatchStatus, succeeded = 0, paused = false): BatchObject {
  const counts = { pending: 0, running: 1, succeeded, failed: 0, cancelled: 0, expired: 0 };
  return {
    id: "batch_1",
    endpoint: "/v1/chat/completions",
    status,
    request_counts: { total: 10, completed: succeeded, failed: 0 },
    usage: { total_tokens: succeeded },
    muster: { counts, paused, run: 1 },
  } as unknown as BatchObject;
}

function row(place: number): NewsRow {
  const custom_id = `task-${place}`;
  return {
    place,
    seq: place,
    custom_id,
    state: "succeeded",
    ok: 1,
    retry: 0,
    took_ms: 5,
    recorded_at: 0,
    line: null,
  };
}

interface Script {
  /** What the batch answers to an ask at a time; a wait that is granted passes. */
  reply(nowMs: number, request: NewsRequest): Partial<NewsReply> & { batch: BatchObject };
  asks?: number;
  untilMs: number;
}

/** Listens in a time that passes only by sleeping and waiting. */
async function listen(script: Script) {
  let nowMs = 0;
  const said: [atMs: number, text: string][] = [];
  const requests: [atMs: number, request: NewsRequest][] = [];
  const ask = (request: NewsRequest): NewsReply => {
    requests.push([nowMs, request]);
    // Answered as soon as there is something new, or when the wait is over.
    const overMs = nowMs + request.waitMs;
    let told = script.reply(nowMs, request);
    while (nowMs < overMs && JSON.stringify(told.batch) === request.etag) {
      nowMs = Math.min(overMs, nowMs + 50);
      told = script.reply(nowMs, request);
    }
    const etag = JSON.stringify(told.batch);
    const rest = { rows: [], more: false, last: 0, asleep: false, restMs: 250 };
    return { ...rest, etag, ...told };
  };
  const events = liveEvents({
    listener: "me",
    first: ask({ listener: "me", after: 0, tasks: "state", etag: undefined, waitMs: 0 }),
    tasks: "state",
    asks: script.asks ?? 10_000,
    ask: async (request) => ({ ok: true, value: ask(request) }),
    sleep: async (ms) => {
      nowMs += ms;
    },
    nowMs: () => nowMs,
  });
  for await (const text of events) {
    said.push([nowMs, text]);
    if (nowMs > script.untilMs) break;
  }
  return { said, requests, nowMs };
}

const count = (said: [number, string][], pattern: RegExp) =>
  said.reduce((sum, [, text]) => sum + [...text.matchAll(pattern)].length, 0);

describe("a stream of events", () => {
  it("says that it is there every 15 seconds when nothing happens, and little else", async () => {
    const batch = batchOf("in_progress");
    const { said, requests } = await listen({ reply: () => ({ batch }), untilMs: 60_000 });
    const beats = said.filter(([, text]) => text.startsWith(":"));
    expect(beats.map(([atMs]) => Math.round(atMs / 1000))).toEqual([15, 30, 45, 60, 75]);
    // The batch is asked to wait; it is not asked in a loop.
    expect(requests.length).toBeLessThan(12);
  });

  it("looks in every two seconds, and does not wait, while the batch is asleep", async () => {
    const batch = batchOf("in_progress", 0, true);
    const { said, requests } = await listen({
      reply: () => ({ batch, asleep: true }),
      untilMs: 60_000,
    });
    expect(requests.every(([, { waitMs }]) => waitMs === 0)).toBe(true);
    expect(requests.map(([atMs]) => atMs).slice(0, 3)).toEqual([0, 2_000, 4_000]);
    const beats = said.filter(([, text]) => text.startsWith(":"));
    expect(beats.map(([atMs]) => atMs)).toEqual([16_000, 32_000, 48_000, 64_000]);
  });

  it("tells progress once a second at most, and the last of it before the end", async () => {
    const { said } = await listen({
      reply: (nowMs) => ({
        batch: batchOf(nowMs >= 10_000 ? "completed" : "in_progress", Math.floor(nowMs / 10)),
      }),
      untilMs: 60_000,
    });
    expect(count(said, /event: progress/g)).toBeLessThanOrEqual(12);
    expect(count(said, /event: progress/g)).toBeGreaterThanOrEqual(8);
    const last = said.at(-1)?.[1] ?? "";
    expect(last).toMatch(/event: status.*event: progress.*"succeeded":1000.*event: end/s);
  });

  it("asks for the next page at once when there is more, and again from where it was told", async () => {
    const { said, requests } = await listen({
      reply: (_, { after }) => ({
        batch: batchOf(after >= 6 ? "completed" : "in_progress", 8),
        rows: after >= 8 ? [] : [row(after + 1), row(after + 2)],
        more: after < 6,
        last: after >= 6 ? 9 : 8,
        restMs: after < 6 ? 0 : 250,
      }),
      untilMs: 60_000,
    });
    expect(requests.map(([atMs, { after }]) => [atMs, after])).toEqual([
      [0, 0],
      [0, 2],
      [0, 4],
      [0, 6],
    ]);
    const ids = said.flatMap(([, text]) => [...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => id));
    expect(ids).toEqual(["1", "2", "3", "4", "5", "6", "7", "8", "9"]);
  });

  it("rests as long as the batch tells it to, when many listen", async () => {
    const { requests } = await listen({
      reply: (nowMs) => ({ batch: batchOf("in_progress", nowMs), restMs: 2_000 }),
      untilMs: 20_000,
    });
    expect(requests.length).toBeLessThanOrEqual(12);
  });

  it("asks nothing while its reader reads nothing", async () => {
    let asks = 0;
    const page = (): NewsReply => {
      const batch = batchOf("in_progress", asks);
      const rest = { more: true, last: 1_000, asleep: false, restMs: 0, etag: "" };
      return { batch, rows: [row(asks)], ...rest };
    };
    const events = liveEvents({
      listener: "me",
      first: page(),
      tasks: "state",
      asks: 100,
      ask: async () => {
        asks += 1;
        return { ok: true, value: page() };
      },
      sleep: async () => undefined,
      nowMs: () => 0,
    });
    await events.next();
    await events.next();
    expect(asks).toBe(0);
    await events.next();
    expect(asks).toBe(1);
    await new Promise((resolve) => setImmediate(resolve));
    expect(asks).toBe(1);
  });

  it("ends when its asks are used up, without an end event: the client comes back", async () => {
    const batch = batchOf("in_progress");
    const { said, requests } = await listen({
      reply: () => ({ batch, asleep: true }),
      asks: 5,
      untilMs: 60_000,
    });
    expect(requests).toHaveLength(6);
    expect(said[0]?.[1]).toBe("retry: 2000\n\n");
    expect(count(said, /event: end/g)).toBe(0);
  });

  it.each([
    ["the batch is deleted", { ok: false, problem: { code: "not_found", message: "" } } as const],
    ["its object is lost", undefined],
  ])("ends when %s", async (_, reply) => {
    const batch = batchOf("in_progress");
    const nothing = { rows: [], more: false, last: 0, asleep: false, restMs: 0, etag: "" };
    const events = liveEvents({
      listener: "me",
      first: { batch, ...nothing },
      tasks: "none",
      asks: 100,
      ask: async () => reply ?? Promise.reject(new Error("reset")),
      sleep: async () => undefined,
      nowMs: () => 0,
    });
    const said: string[] = [];
    for await (const text of events) said.push(text);
    expect(said).toHaveLength(2);
    expect(said[1]).toMatch(/^event: status\n[^\n]*\n\nevent: progress\n[^\n]*\n\n$/);
  });
});
