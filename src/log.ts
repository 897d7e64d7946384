/**
 * What Muster logs: one line of JSON an event, `event` first, then ids and figures. Never a prompt,
 * an answer, a name that a client chose, a URL or a key; see test/e2e/canaries.test.ts.
 */

/** What Muster decided, in the course of its work. */
export const DECISIONS = [
  "batch_opened",
  "batch_started",
  "batch_failed",
  "batch_paused",
  "batch_resumed",
  "batch_changed",
  "batch_stopping",
  "batch_retried",
  "batch_removed",
  "batch_ended",
  "task_retried",
  "task_failed",
  "conversation_lost",
  "key_refused",
  "key_taken",
  "quota_down",
  "quota_up",
  "quota_rests",
  "quota_wakes",
  "quota_paced",
  "quota_told",
  "delivery_attempted",
  "endpoint_disabled",
  "address_slowed",
  "organization_changed",
] as const;
type Decision = (typeof DECISIONS)[number];

/** What went wrong and is tried again, or could not be done. */
export const TROUBLES = [
  "answer_not_kept",
  "batch_unreachable",
  "claim_failed",
  "exchange_failed",
  "invocation_failed",
  "message_not_understood",
  "permit_not_released",
  "pointers_not_sent",
  "report_refused",
  "request_failed",
  "sweep_failed",
] as const;
type Trouble = (typeof TROUBLES)[number];

type Figures = Record<string, string | number | boolean | null | undefined>;

/** A decision: whom it concerns, by id, and the figures it was made on. */
export type DecisionEvent = { event: Decision } & Figures;
export type LogEvent = { event: Decision | Trouble } & Figures;

/** Logs an event; a decision as information, trouble as a warning. */
export function log(event: LogEvent): void {
  if (isDecision(event.event)) console.log(JSON.stringify(event));
  else console.warn(JSON.stringify(event));
}

/** Whether an event's name is that of a decision. */
export function isDecision(event: string): boolean {
  return (DECISIONS as readonly string[]).includes(event);
}
