import type { World } from "../../src/batch/world.ts";
import type { Sent } from "../../src/webhooks/deliver.ts";
import { nextDeliveryDelayMs } from "../../src/webhooks/schedule.ts";
import type { SimulatedBatch } from "./batch.ts";
import { type Simulation, Violation } from "./simulation.ts";

/**
 * The world of one generation of a batch: virtual time, seeded chance, and calls that wait until
 * the driver answers them. A dead generation that still reaches for it is a fault of the simulator.
 */
export function simulatedWorld(
  simulation: Simulation,
  batch: SimulatedBatch,
  generation: object,
): World {
  const { rpcs, chance } = simulation;
  const alive = () => {
    if (!batch.lives(generation)) throw new Error("an evicted object reached for its world");
  };
  const start = <T>(what: string, effect: () => T): Promise<T> => {
    alive();
    const latestMs = simulation.nowMs + simulation.rpcTimeMs();
    return rpcs.start(`${what} of ${batch.name}`, generation, latestMs, effect);
  };
  return {
    nowMs: () => simulation.nowMs,
    random: () => chance.next(),
    setAlarm: (atMs) => {
      alive();
      batch.setAlarm(atMs);
    },
    deleteAlarm: () => {
      alive();
      batch.alarmAtMs = undefined;
    },
    breathe: () => start("breathe", () => undefined),
    background: (work) => simulation.watch(work, () => undefined),
    acquire: (request) => {
      const { quota, costs, held } = request;
      const said = `acquire ${costs.length} of ${quota}, held ${held},`;
      return start(said, () => simulation.limiterOf(quota).acquire(request));
    },
    announce: (quota, ref, weight, wanted) =>
      start("announce", () => simulation.limiterOf(quota).announce(ref, weight, wanted)),
    sendPointers: (messages) =>
      start(`sendPointers ${messages.length}`, () => {
        for (const { body } of messages) simulation.enqueue(body);
      }),
    fileSize: () => start("fileSize", () => batch.source?.length),
    readFile: (_key, offset, length) =>
      start(`readFile ${offset}`, () => batch.source?.slice(offset, offset + length)),
    tellProject: (_ref, digest) =>
      start("tellProject", () => {
        // As the Project does: an older word never replaces a newer.
        if (digest.noted_at >= (batch.noted?.noted_at ?? 0)) batch.noted = digest;
      }),
    registerFiles: (_ref, files) =>
      start("registerFiles", () => {
        const bytes = (kind: string) => files.find((file) => file.kind === kind)?.bytes ?? -1;
        batch.registered = { output: bytes("output"), error: bytes("error") };
      }),
    forget: () => start("forget", () => batch.forget()),
    endpointsFor: (ref, type) =>
      start("endpointsFor", () => simulation.projectOf(ref.project).takersOf(type)),
    endpointTarget: (ref, id, type) =>
      start("endpointTarget", () => simulation.projectOf(ref.project).target(id, type)),
    tellEndpoints: (ref, attempts) =>
      start("tellEndpoints", () => simulation.projectOf(ref.project).note(attempts)),
    deliver: ({ attempts }, { url, secrets }) => {
      if (secrets.length === 0) throw new Violation(`${batch.name} sends to ${url} unsigned`);
      // The real one never throws: a receiver out of reach is an answer like any other.
      const answers = simulation.receiverAnswers();
      alive();
      const startedMs = simulation.nowMs;
      const latestMs = startedMs + simulation.rpcTimeMs();
      return rpcs
        .start(`deliver of ${batch.name}`, generation, latestMs, () => answers)
        .catch(() => "down" as const)
        .then((came): Sent => {
          const nowMs = simulation.nowMs;
          const restMs = came === "busy" ? chance.between(1, 7_200_000) : 0;
          const answer = { startedMs, tookMs: nowMs - startedMs, error: came, nextMs: nowMs };
          switch (came) {
            case "accepts":
              return {
                ...answer,
                status: 200,
                error: null,
                restMs,
                final: false,
                state: "delivered",
              };
            case "gone":
              return { ...answer, status: 410, restMs, final: true, state: "failed" };
            case "busy":
            case "down": {
              const failed = {
                ...answer,
                status: came === "busy" ? 429 : 503,
                restMs,
                final: false,
              };
              const delayMs = nextDeliveryDelayMs({
                attempt: attempts + 1,
                random: chance.next(),
                retryAfterMs: restMs,
              });
              if (delayMs === undefined) return { ...failed, state: "failed" };
              return { ...failed, state: "due", nextMs: nowMs + delayMs };
            }
          }
        });
    },
    log: (event) => simulation.say(`log ${JSON.stringify(event)}`),
  };
}
