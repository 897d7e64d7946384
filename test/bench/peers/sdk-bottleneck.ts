import Bottleneck from "bottleneck";
import { ATTEMPTS, ask, clientOf } from "./ask.ts";
import type { Order } from "./protocol.ts";
import { tokensOf } from "./rate.ts";
import { servePeer } from "./serve.ts";

/** The official SDK behind bottleneck, the scheduler with a notion of rates and weights. */
await servePeer(async (order) => {
  const client = clientOf(order, ATTEMPTS);
  const limiter = new Bottleneck({ maxConcurrent: order.lanes, ...limitsOf(order) });
  const weighed = order.tpm !== undefined;
  // The weight counts against the reservoir and against maxConcurrent alike, so the lanes of
  // weighed calls are held by a second limiter.
  const lanes = new Bottleneck({ maxConcurrent: order.lanes });
  return async (bodies) =>
    bodies.map((body) =>
      weighed
        ? lanes.schedule(() =>
            limiter.schedule({ weight: tokensOf(body) }, () => ask(client, body)),
          )
        : limiter.schedule(() => ask(client, body)),
    );
});

/** Requests are spaced evenly; tokens come out of a reservoir that refills ten times a second. */
function limitsOf({ rpm, tpm, tokenBurst }: Order): Bottleneck.ConstructorOptions {
  if (tpm !== undefined) {
    return {
      maxConcurrent: null,
      reservoir: tokenBurst ?? tpm,
      reservoirIncreaseInterval: 250,
      reservoirIncreaseAmount: tpm / 240,
      reservoirIncreaseMaximum: tokenBurst ?? tpm,
    };
  }
  return rpm === undefined ? {} : { minTime: 60_000 / rpm };
}
