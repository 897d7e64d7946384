import type {
  BatchRow,
  DeliveryAttemptRow,
  DeliveryRow,
  EventRow,
} from "../../src/batch/schema.ts";
import type { SimulatedBatch } from "./batch.ts";
import type { SimulatedProject } from "./project.ts";
import { type Simulation, Violation } from "./simulation.ts";

/** What must hold of all webhooks once nothing goes wrong any more. */

/** Whether a batch still has something to announce, to send, or to tell its project. */
export function webhooksWait(batch: SimulatedBatch): boolean {
  return batch.ledger.deliveries().some(({ state }) => state === "due") || owes(batch).length > 0;
}

/** What a batch has to do at once about its webhooks. */
export function owes({ file }: SimulatedBatch): string[] {
  return file
    .rows<{ what: string }>(
      `SELECT id AS what FROM event WHERE announced_at IS NULL
       UNION ALL SELECT delivery_id FROM delivery_attempt WHERE told = 0`,
    )
    .map(({ what }) => what);
}

/** Checks them all. @throws {Violation} naming what does not hold. */
export function checkWebhooks(simulation: Simulation): void {
  for (const batch of simulation.batches) {
    if (batch.gone) continue;
    const row = batch.ledger.row();
    const events = batch.file.rows<EventRow>("SELECT * FROM event ORDER BY id");
    const fail = (what: string): never => {
      throw new Violation(`batch ${batch.name} is ${row.status} in run ${row.run} and ${what}`);
    };
    if (events.length !== row.run) fail(`has ${events.length} events`);
    const deliveries = batch.ledger.deliveries();
    const own = deliveries.filter(({ endpoint_id }) => endpoint_id === null);
    if (own.length !== (row.webhook_url === null ? 0 : row.run)) {
      fail(`has ${own.length} deliveries of its own`);
    }
    const project = simulation.projectOf(row.project);
    checkEndpoints(project, row, events, deliveries, fail);
    const attempts = batch.file.rows<DeliveryAttemptRow>("SELECT * FROM delivery_attempt");
    checkGone(project, deliveries, attempts, fail);
  }
}

/** Who took an event all the time since before the batch ended has its delivery. */
function checkEndpoints(
  project: SimulatedProject,
  row: BatchRow,
  events: readonly EventRow[],
  deliveries: readonly DeliveryRow[],
  fail: (what: string) => never,
): void {
  for (const [id, takes] of project.takes) {
    for (const { id: event, type, body } of events) {
      const { created_at }: { created_at: number } = JSON.parse(body);
      const sent = deliveries.filter(
        ({ endpoint_id, event_id }) => endpoint_id === id && event_id === event,
      );
      if (sent.length > 1) fail(`sends ${event} to ${id} ${sent.length} times`);
      const sinceMs = takes.get(type) ?? Number.POSITIVE_INFINITY;
      if (sinceMs < created_at * 1000 && sent.length === 0) fail(`never sent ${event} to ${id}`);
      // What is sent to whom took it all the time is given up only after its last attempt, or for a
      // 410. That does not disable an endpoint that was changed while the attempt was under way.
      const [one] = sent;
      const early = one?.state === "failed" && one.attempts < 10 && one.last_status !== 410;
      if (early && sinceMs < row.created_at) {
        fail(`gave ${event} to ${id} up after ${one.attempts} attempts: ${one.last_error}`);
      }
    }
  }
}

/** An endpoint that said 410, and was not changed since, is disabled. */
function checkGone(
  project: SimulatedProject,
  deliveries: readonly DeliveryRow[],
  attempts: readonly DeliveryAttemptRow[],
  fail: (what: string) => never,
): void {
  for (const { id, updated_at, disabled_at } of project.rows()) {
    const ids = deliveries.filter(({ endpoint_id }) => endpoint_id === id).map((one) => one.id);
    const gone = attempts.some(
      ({ delivery_id, status, started_at }) =>
        ids.includes(delivery_id) && status === 410 && started_at > updated_at,
    );
    if (gone && disabled_at === null) fail(`had a 410 of ${id}, which is enabled`);
  }
}
