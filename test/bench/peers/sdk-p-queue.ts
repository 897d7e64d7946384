import PQueue from "p-queue";
import { ATTEMPTS, ask, clientOf } from "./ask.ts";
import { rateOf } from "./rate.ts";
import { servePeer } from "./serve.ts";

/** The official SDK behind p-queue: the script that most people write. */
await servePeer(async (order) => {
  const client = clientOf(order, ATTEMPTS);
  const rate = rateOf(order);
  const queue = new PQueue({
    concurrency: order.lanes,
    ...(rate && { intervalCap: rate.max, interval: rate.perMs, strict: true }),
  });
  return async (bodies) => bodies.map((body) => queue.add(() => ask(client, body)));
});
