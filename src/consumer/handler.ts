import { readConfig } from "../config.ts";
import { log } from "../log.ts";
import { batchStub } from "../stubs.ts";
import { type BatchRef, pointer } from "../wire/messages.ts";
import { serve } from "./invocation.ts";

/** The queue that pointers go to when they died too often; see wrangler.toml. */
const DEAD_QUEUE = "muster-tasks-dead";

/** Invocations that go on behind their ack at once; more keep the queue waiting. */
const BACKGROUND_MAX = 50;
let inBackground = 0;

/**
 * Takes a delivery of either queue. Never throws: a throw would redeliver every message, and the
 * truth is in the Batch anyway, whose sweep sends a new pointer for work nobody looks after.
 */
export async function handleQueue(
  messageBatch: MessageBatch,
  env: Env,
  ctx: Pick<ExecutionContext, "waitUntil">,
): Promise<void> {
  const refs = pointersOf(messageBatch);
  try {
    if (messageBatch.queue === DEAD_QUEUE) {
      await Promise.allSettled(refs.map((ref) => batchStub(env, ref).poke()));
    } else {
      const work = serve(refs, env);
      if (readConfig(env).background && inBackground < BACKGROUND_MAX) {
        inBackground += 1;
        ctx.waitUntil(
          work.finally(() => {
            inBackground -= 1;
          }),
        );
      } else {
        await work;
      }
    }
  } catch (error) {
    log({ event: "invocation_failed", error: String(error) });
  }
  messageBatch.ackAll();
}

/** The batches that the messages name, each once. A message that is no pointer is logged. */
function pointersOf(messageBatch: MessageBatch): BatchRef[] {
  const refs = new Map<string, BatchRef>();
  for (const message of messageBatch.messages) {
    const parsed = pointer.safeParse(message.body);
    if (!parsed.success) {
      log({ event: "message_not_understood", message: message.id });
      continue;
    }
    const { project, batch_id } = parsed.data;
    refs.set(`${project}/${batch_id}`, { project, batch_id });
  }
  return [...refs.values()];
}
