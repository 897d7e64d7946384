import type { Upstream } from "../config/upstreams.ts";
import { isStreamable } from "../core/stream-request.ts";

/** The lanes of an invocation, and what calls take of them. */
export interface LanePlan {
  count: number;
  /** Lanes of a call that holds its connection to its end. */
  unstreamed: number;
}

/**
 * @param connections that may wait for headers at once: calls in flight when none is streamed.
 * @param streamLanes calls in flight when all are.
 */
export function planLanes(connections: number, streamLanes: number): LanePlan {
  const count = Math.max(connections, streamLanes);
  return { count, unstreamed: Math.floor(count / connections) };
}

/** The lanes that a call takes. */
export function weightOf(plan: LanePlan, endpoint: string, upstream: Upstream | undefined): number {
  return upstream?.streamChat === true && isStreamable(endpoint) ? 1 : plan.unstreamed;
}
