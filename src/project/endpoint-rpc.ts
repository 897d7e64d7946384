import type { EventType } from "../wire/event.ts";

/** What batches and their project tell each other about webhook endpoints. */

/** An endpoint that an event is to be sent to. */
export interface Subscriber {
  id: string;
  url: string;
}

/** Where and how to send to an endpoint right now, or why nothing is to be sent any more. */
export type EndpointTarget =
  | {
      open: true;
      url: string;
      /** All in force, the newest first. */
      secrets: string[];
      /** It has too much to do: nothing is to be sent before this time. 0 for never said. */
      restUntilMs: number;
    }
  | { open: false; reason: string };

/** One attempt to send to an endpoint, for its project: what came of it, and what it said. */
export interface EndpointAttempt {
  endpointId: string;
  /** Null for a test. */
  batchId: string | null;
  /** With `n` its name; telling an attempt twice is telling it once. */
  deliveryId: string;
  n: number;
  eventId: string;
  type: EventType;
  startedMs: number;
  tookMs: number;
  status: number | null;
  error: string | null;
  /** When it is tried again, if it is. */
  nextMs: number | null;
  /** 0 when the endpoint did not ask to be left alone. */
  restUntilMs: number;
}
