import type { Route } from "../config/routes.ts";
import { type AcquireReply, type AcquireRequest, singleCallRef } from "../limiter/acquire.ts";
import { log } from "../log.ts";
import { limiterStub } from "../stubs.ts";
import { DEFAULT_PRIORITY } from "../wire/batch.ts";
import { newSeed } from "../wire/ids.ts";
import type { BatchRef } from "../wire/messages.ts";

/**
 * A permit for one call that belongs to no batch. To the Limiter it is a batch of one, and a part of
 * what its project's single calls have together. It waits with the others, and listens for its turn.
 */

/** A Limiter that is out of reach is asked again this soon. */
const AWAY_RETRY_MS = 250;
/** Asked again this soon, whatever the Limiter says: limits change, too. */
const ASK_WITHIN_MS = 10_000;
/** Well inside the time that a hold lives unheard. */
const CONFIRM_MS = 30_000;

/** What the Limiter is told when the call is over. */
export type News = Pick<
  AcquireRequest,
  "extraTokens" | "throttled" | "answered" | "accepted" | "refused" | "told" | "alive" | "broken"
>;

const NO_NEWS: News = { extraTokens: 0, throttled: undefined, answered: false };

/** That there is no permit, and when it may make sense to come again. */
export interface NoPermit {
  retryInMs: number;
  /** It was not waited for: too many wait already. */
  crowded: boolean;
}

/** One call in flight, until it is released. */
export interface Permit {
  route: Route;
  /** Tells that the call is over. Never throws: a word that gets lost is made up for by time. */
  release(news: News): Promise<void>;
}

/**
 * Waits for a permit on one of the routes, the first that has one. A call that goes nowhere twice is
 * no probe: an upstream that is down is only called if all are.
 *
 * @param cost tokens to reserve.
 * @returns when it may make sense to come again, if there is none within `waitMs`, or at once if it
 *   may not even wait.
 */
export async function takePermit(
  env: Env,
  project: string,
  routes: readonly Route[],
  cost: number,
  waitMs: number,
): Promise<Permit | NoPermit> {
  const ref = singleCallRef(project, newSeed());
  const say = (route: Route, said: Partial<AcquireRequest>): Promise<AcquireReply> => {
    const quota = route.quota.name;
    const silence = { held: 0, weight: DEFAULT_PRIORITY, costs: [], ready: 0, served: true };
    return limiterStub(env, quota).acquire({ quota, ref, ...silence, ...NO_NEWS, ...said });
  };
  /** That it wants nothing. One that does not hear it forgets the call by itself. */
  const leave = async (others: readonly Route[]): Promise<void> => {
    await Promise.allSettled(others.map((other) => say(other, {})));
  };
  const endMs = Date.now() + waitMs;
  let elsewhere: AcquireRequest["elsewhere"] = routes.length > 1 ? "avoid" : undefined;
  for (;;) {
    let retryInMs = Number.POSITIVE_INFINITY;
    let down = 0;
    let crowded = false;
    const waitsAt: Route[] = [];
    for (const route of routes) {
      const reply = await say(route, { costs: [cost], elsewhere }).catch(() => undefined);
      if (reply === undefined) continue;
      if (reply.down) down += 1;
      const [startInMs] = reply.startInMs;
      if (startInMs !== undefined) {
        await leave(routes.filter((other) => other !== route));
        await sleep(startInMs);
        return permitOf(route, (said) => say(route, said));
      }
      if (reply.crowded) crowded = true;
      else waitsAt.push(route);
      retryInMs = Math.min(retryInMs, reply.retryInMs ?? AWAY_RETRY_MS);
    }
    if (down === routes.length && elsewhere !== undefined) {
      elsewhere = undefined;
      continue;
    }
    if (!Number.isFinite(retryInMs)) retryInMs = AWAY_RETRY_MS;
    if (crowded && waitsAt.length === 0) return { retryInMs, crowded };
    const leftMs = endMs - Date.now();
    if (leftMs <= 0) {
      await leave(routes);
      return { retryInMs, crowded: false };
    }
    const withinMs = Math.min(retryInMs, leftMs, ASK_WITHIN_MS);
    const turns = waitsAt.map((route) => turnAt(env, route, ref, withinMs));
    await Promise.race([sleep(withinMs), ...turns]);
  }
}

/** Ends when it is the call's turn at a route; never, when its Limiter is lost meanwhile. */
async function turnAt(env: Env, route: Route, ref: BatchRef, withinMs: number): Promise<void> {
  try {
    await limiterStub(env, route.quota.name).turn(ref, withinMs);
  } catch {
    await new Promise(() => undefined);
  }
}

function permitOf(
  route: Route,
  say: (said: Partial<AcquireRequest>) => Promise<AcquireReply>,
): Permit {
  let confirmed: Promise<unknown> = Promise.resolve();
  const confirming = setInterval(() => {
    confirmed = say({ held: 1 }).catch(() => undefined);
  }, CONFIRM_MS);
  return {
    route,
    async release(news) {
      clearInterval(confirming);
      // Said after the end it would hold the call for nobody.
      await confirmed;
      try {
        await say(news);
      } catch (error) {
        log({ event: "permit_not_released", error: String(error) });
      }
    },
  };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
