import type { Unanswered, Verdict } from "../core/outcome.ts";
import type { Told } from "../core/told-limits.ts";
import type { Usage } from "../core/usage.ts";
import type { Endpoint } from "../wire/batch.ts";
import type { BatchRef } from "../wire/messages.ts";

/** The one sentence that a consumer and a Batch speak: this is done, what is next? */

/** What came of one attempt. */
export interface Report {
  seq: number;
  attempt: number;
  verdict: Verdict;
  /** How long the call took, without the wait for its permit. */
  tookMs: number;
  usage?: Usage | undefined;
  /** What the answer's headers say of the upstream's limits. */
  told?: Told | undefined;
  result:
    | {
        kind: "answered";
        status: number;
        /** The upstream's `x-request-id`, or "". */
        requestId: string;
        /** JSON text on one line, as the upstream wrote it. */
        body: string;
      }
    | { kind: "unanswered"; code: Unanswered; message: string };
}

/** A task in one of its attempts. */
export interface Claim {
  seq: number;
  attempt: number;
}

export interface ExchangeRequest {
  /** Names the conversation; claims are held in its name. */
  holder: string;
  /** Whether the conversation began by another batch's invitation, and not by a pointer. */
  invited: boolean;
  reports: Report[];
  /**
   * The calls the conversation has in flight, or will report next. What else was claimed in its name it never heard of,
   * because an answer was lost, and goes back.
   */
  holding: Claim[];
  /** Lanes that are free. */
  want: number;
  /** The conversation takes no more tasks: its time slice or its call budget is over. */
  leaving: boolean;
}

/** One call to make. */
export interface Assignment {
  seq: number;
  attempt: number;
  /** Where to call, by its name in the configuration. */
  upstream: string;
  /** What the call carries beside the upstream's own headers. */
  headers?: Readonly<Record<string, string>> | undefined;
  body: string;
  /** The permit starts this many milliseconds after the answer. */
  startInMs: number;
}

export interface ExchangeReply {
  endpoint: Endpoint;
  tasks: Assignment[];
  /** Tasks that could be handed out now if there were permits and lanes for them, up to a bound. */
  more: number;
  /** When to ask again if nothing else happens; null when nothing more will come. */
  waitMs: number | null;
  /**
   * For how long there is no call for the batch: what is reported sooner hastens nothing. 0 where a
   * report may free one.
   */
  patienceMs?: number | undefined;
  /** Other batches wait for calls, too: this one is called when it is its turn. */
  contended: boolean;
  /** The conversation is over for the Batch: it has no task and gets none for now. */
  end: boolean;
  /** Another batch of the same upstream that nobody serves. */
  invite: BatchRef | null;
}
