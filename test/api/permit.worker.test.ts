import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { takePermit } from "../../src/api/permit.ts";
import type { Route } from "../../src/config/routes.ts";
import type { AcquireReply, AcquireRequest } from "../../src/limiter/acquire.ts";
import { upstreamAt } from "../support/upstream.ts";

const NOTHING: AcquireReply = {
  startInMs: [],
  retryInMs: null,
  blockedBy: null,
  contended: false,
  kept: false,
  invite: null,
};
const GRANT: AcquireReply = { ...NOTHING, startInMs: [0] };

beforeEach(() => void vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

function routeTo(name: string): Route {
  const upstream = upstreamAt(`http://${name}.test/v1`, undefined, { name });
  const [quota] = upstream.quotas;
  if (quota === undefined) throw new Error("an upstream has a quota");
  return { upstream, quota: { ...quota, name } };
}

/** Limiters that answer as is said, by the quota's name, and tell of a turn when `call` is called. */
function limiters(answer: (request: AcquireRequest) => AcquireReply | Error) {
  const said: AcquireRequest[] = [];
  let call = () => {};
  const turn = () => new Promise<void>((resolve) => (call = resolve));
  const acquire = async (request: AcquireRequest) => {
    said.push(request);
    const reply = answer(request);
    if (reply instanceof Error) throw reply;
    return reply;
  };
  const env = { LIMITER: { getByName: () => ({ acquire, turn }) } } as unknown as Env;
  return { said, env, call: () => call() };
}

const away = new Error("Network connection lost.");
const routes = [routeTo("first"), routeTo("second")];

describe("a single call's permit", () => {
  test("comes from the next route when the first one's Limiter is away, and is given back", async () => {
    const { env, said } = limiters(({ quota, costs }) => {
      if (quota === "first") return away;
      return costs.length > 0 ? GRANT : NOTHING;
    });
    const taking = takePermit(env, "p", routes, 10, 5_000);
    await vi.advanceTimersByTimeAsync(1);
    const permit = await taking;
    if (!("route" in permit)) throw new Error("no permit");
    expect(permit.route.quota.name).toBe("second");
    await permit.release({ extraTokens: 0, throttled: undefined, answered: true });
    expect(said.at(-1)).toMatchObject({ quota: "second", held: 0, costs: [] });
  });

  test("is not there in time when no Limiter answers, and that says when to come again", async () => {
    const { env } = limiters(() => away);
    const taking = takePermit(env, "p", routes, 10, 1_000);
    await vi.advanceTimersByTimeAsync(1_500);
    expect(await taking).toEqual({ retryInMs: 250, crowded: false });
  });

  test("is asked for once while there is none, and again when it is called", async () => {
    let free = false;
    const full: AcquireReply = { ...NOTHING, retryInMs: 10_000, blockedBy: "calls" };
    const { env, said, call } = limiters(({ costs }) => (costs.length > 0 && free ? GRANT : full));
    const taking = takePermit(env, "p", routes.slice(0, 1), 10, 60_000);
    await vi.advanceTimersByTimeAsync(9_000);
    expect(said).toHaveLength(1);
    free = true;
    call();
    await vi.advanceTimersByTimeAsync(1);
    expect(await taking).toHaveProperty("route");
    expect(said).toHaveLength(2);
  });

  test("is asked for again when it was to be, with nobody to call", async () => {
    const later: AcquireReply = { ...NOTHING, retryInMs: 3_000, blockedBy: "rate" };
    const { env, said } = limiters(() => (said.length > 3 ? GRANT : later));
    const taking = takePermit(env, "p", routes.slice(0, 1), 10, 60_000);
    await vi.advanceTimersByTimeAsync(8_999);
    expect(said).toHaveLength(3);
    await vi.advanceTimersByTimeAsync(2);
    expect(await taking).toHaveProperty("route");
  });

  test("is not waited for where too many wait, but where there is room", async () => {
    const crowded: AcquireReply = { ...NOTHING, retryInMs: 7_000, crowded: true };
    const all = limiters(() => crowded);
    expect(await takePermit(all.env, "p", routes, 10, 60_000)).toEqual({
      retryInMs: 7_000,
      crowded: true,
    });
    let free = false;
    const full: AcquireReply = { ...NOTHING, retryInMs: 10_000, blockedBy: "calls" };
    const one = limiters(({ quota }) => (quota === "first" ? crowded : free ? GRANT : full));
    const taking = takePermit(one.env, "p", routes, 10, 60_000);
    await vi.advanceTimersByTimeAsync(1);
    free = true;
    one.call();
    await vi.advanceTimersByTimeAsync(1);
    expect(await taking).toMatchObject({ route: { quota: { name: "second" } } });
  });
});
