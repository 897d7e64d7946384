/** What decides how many pointers a batch needs on the queue. */
export interface LaneNeed {
  /** Tasks that may be handed out now. */
  ready: number;
  /** Calls in flight. */
  running: number;
  /** Calls that may be in flight at most. */
  target: number;
  /** Lanes of one consumer invocation. */
  lanes: number;
  /** Conversations under way. */
  conversations: number;
  /** Pointers sent and not yet picked up. */
  outstanding: number;
}

/** Pointers to send: each wakes one invocation. Never more than there is work or room for. */
export function pointersNeeded(need: LaneNeed): number {
  if (need.ready <= 0) return 0;
  const wanted = Math.min(need.target, need.running + need.ready);
  const invocations = Math.ceil(wanted / need.lanes);
  return Math.max(0, invocations - need.conversations - need.outstanding);
}
