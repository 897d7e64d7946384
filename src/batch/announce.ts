import type { Event, EventType } from "../wire/event.ts";
import { eventId } from "../wire/ids.ts";
import type { BatchRow } from "./schema.ts";
import type { Store } from "./store/store.ts";

/**
 * Makes the webhook of a batch's end due, if it has one. Called in the transaction that ends the
 * batch, so that there is never an end without its webhook, nor a webhook without its end.
 */
export function announce(store: Store, row: BatchRow, type: EventType, nowMs: number): void {
  if (row.webhook_url === null) return;
  const event: Event = {
    id: eventId(row.batch_id, row.run, type),
    object: "event",
    type,
    created_at: Math.floor(nowMs / 1000),
    data: { id: row.batch_id },
  };
  store.deliveries.add(event.id, row.webhook_url, JSON.stringify(event), nowMs);
}
