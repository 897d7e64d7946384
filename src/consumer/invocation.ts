import { type Config, readConfig } from "../config.ts";
import { batchStub } from "../stubs.ts";
import { newHolderId } from "../wire/ids.ts";
import type { BatchRef } from "../wire/messages.ts";
import { Conversation } from "./conversation.ts";
import { Lanes } from "./lanes.ts";
import { Memory } from "./memory.ts";
import { Slots } from "./slots.ts";
import { planLanes } from "./weight.ts";

/** An invocation takes tasks for this long at most, of the 15 minutes the platform gives it. */
const SLICE_MAX_MS = 10 * 60_000;
const WALL_MS = 15 * 60_000;
/** Left over at the end for reports and for a call that started last. */
const MARGIN_MS = 60_000;
/** Batches one invocation speaks with at most; more find another one. */
const TALKS_MAX = 100;

/** An isolate has 128 MB, and may have another invocation beside this one. */
const HELD = { answerBytes: 24_000_000, bodyChars: 6_000_000 };

/**
 * One invocation: conversations with the batches it was woken for, and with those it is invited to,
 * until all have ended. Never throws.
 */
export async function serve(refs: readonly BatchRef[], env: Env): Promise<void> {
  const config = readConfig(env);
  const { upstreams } = config;
  // Without an upstream no batch can be opened; the sweep asks again once there is one.
  if (upstreams.length === 0) return;
  const longestMs = Math.max(...upstreams.map(({ timeoutMs }) => timeoutMs));
  const endMs = Date.now() + (config.sliceMs ?? sliceMs(longestMs));
  const plan = planLanes(config.lanes, streams(config) ? config.streamLanes : 0);
  const lanes = new Lanes(plan.count);
  const slots = new Slots(config.lanes);
  const memory = new Memory(HELD);
  let spent = 0;
  const talks = new Map<string, Promise<void>>();
  const open = (ref: BatchRef, invited: boolean) => {
    const key = `${ref.project}/${ref.batch_id}`;
    if (talks.has(key) || talks.size >= TALKS_MAX) return;
    const talk = new Conversation({
      holder: newHolderId(),
      invited,
      upstreams,
      lanes,
      plan,
      slots,
      memory,
      exchange: (request) => batchStub(env, ref).exchange(request),
      listen: (holder) => batchStub(env, ref).listen(holder),
      invite: (other) => open(other, true),
      over: () => spent >= config.subrequests || Date.now() >= endMs,
      spend: (part = 1) => {
        spent += part;
      },
      heartbeatMs: config.claimTtlMs / 3,
    });
    talks.set(
      key,
      talk.run().finally(() => talks.delete(key)),
    );
  };
  for (const ref of refs) open(ref, false);
  while (talks.size > 0) await Promise.race(talks.values());
}

function sliceMs(timeoutMs: number): number {
  return Math.max(MARGIN_MS, Math.min(SLICE_MAX_MS, WALL_MS - timeoutMs - MARGIN_MS));
}

function streams({ upstreams }: Config): boolean {
  return upstreams.some(({ streamChat }) => streamChat);
}
