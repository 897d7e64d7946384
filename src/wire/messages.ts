import { z } from "zod";

/**
 * What goes over the tasks queue. Messages outlive deploys, so they carry a version and are parsed.
 */

/** Names a batch everywhere: its object's name is made of both. */
export const batchRef = z.object({ project: z.string().min(1), batch_id: z.string().min(1) });
export type BatchRef = z.infer<typeof batchRef>;

/**
 * A batch is opened so soon after it was asked for, or not at all: later than that its project may
 * take it out of its index.
 */
export const OPEN_WITHIN_MS = 30 * 60_000;

/**
 * A pointer: "this batch has work for one invocation". It names no task; which tasks there are is
 * asked of the batch, so a pointer that is late, doubled or lost does no harm.
 */
export const pointer = batchRef.extend({ v: z.literal(1) });
export type Pointer = z.infer<typeof pointer>;
