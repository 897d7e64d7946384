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

/** Limiters that answer as is said, by the quota's name. */
function limiters(answer: (request: AcquireRequest) => AcquireReply | Error) {
  const said: AcquireRequest[] = [];
  const acquire = async (request: AcquireRequest) => {
    said.push(request);
    const reply = answer(request);
    if (reply instanceof Error) throw reply;
    return reply;
  };
  return { said, env: { LIMITER: { getByName: () => ({ acquire }) } } as unknown as Env };
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
    expect(await taking).toEqual({ retryInMs: 250 });
  });
});
