import type { Event, EventType } from "../wire/event.ts";
import { eventId } from "../wire/ids.ts";
import type { BatchRow } from "./schema.ts";
import type { Store } from "./store/store.ts";

/**
 * Writes the event of a batch's end down, with its delivery to the batch's own webhook if it has
 * one. Called in the transaction that ends the batch, so that there is never an end without its
 * event, nor an event without its end. Which endpoints of the project take it is asked later
 * (send-webhooks.ts), again and again until the Project answers.
 */
export function announce(store: Store, row: BatchRow, type: EventType, nowMs: number): void {
  const event: Event = {
    id: eventId(row.batch_id, row.run, type),
    object: "event",
    type,
    created_at: Math.floor(nowMs / 1000),
    data: { id: row.batch_id },
  };
  store.deliveries.add(event, row.webhook_url, nowMs);
}
