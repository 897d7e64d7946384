import type { Ask, Grant } from "../core/quota.ts";
import type { BatchRef } from "../wire/messages.ts";

/** What a Batch and a Limiter speak. */

/** What the names of single calls begin with, which are to a Limiter as batches of one. */
const SINGLE_CALL = "call_";

/** A single call's name. @param seed of its own. */
export function singleCallRef(project: string, seed: string): BatchRef {
  return { project, batch_id: `${SINGLE_CALL}${seed}` };
}

/** Whether no object is behind a name: a single call can't be woken, but it may listen. */
export function isSingleCall({ batch_id }: BatchRef): boolean {
  return batch_id.startsWith(SINGLE_CALL);
}

/** What a Batch says and asks; see `Ask` in core/quota.ts. */
export interface AcquireRequest extends Omit<Ask, "batch"> {
  /** The quota that is asked; it names the Limiter, too. */
  quota: string;
  ref: BatchRef;
  /** The model of its calls; "" where they have several. */
  model?: string | undefined;
  /** Whether it can use a lease: who takes one is woken when it ends, and so is an object that wakes. */
  takesLease?: boolean | undefined;
  /** Calls since the last ask whose answer told its length, and their lengths together. */
  answers?: { calls: number; outputTokens: number } | undefined;
  /** Calls since the last ask that showed that the upstream answers, and that it does not; see `Signs`. */
  alive?: number | undefined;
  broken?: number | undefined;
  /**
   * The calls can go another way: while the upstream is down they get nothing here but a probe, or
   * nothing at all. Who has no other way is not held back.
   */
  elsewhere?: "probe" | "avoid" | undefined;
}

/** The grant, and a batch that waits for somebody to serve it, if there is one. */
export interface AcquireReply extends Grant {
  /**
   * For so long the batch may make another call in the place of each that ends without asking: it is
   * alone, and nothing but the calls in flight is limited. It is woken when that is over before.
   */
  leaseMs?: number | undefined;
  /** Calls are kept for the asker, which asked for none and has tasks. */
  kept: boolean;
  /** Tokens of the model's latest answers, in the mean; null while none is known. */
  meanOutput?: number | null | undefined;
  invite: BatchRef | null;
  /** The upstream rests for so long; absent when it does not. */
  restsMs?: number | undefined;
  /** The upstream is down: it answers nobody. */
  down?: boolean | undefined;
  /** So many single calls wait that this one may not; to come again after `retryInMs`. */
  crowded?: boolean | undefined;
}
