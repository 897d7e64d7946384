import { z } from "zod";
import { ok, type Result, refuse } from "./errors.ts";

/**
 * `Idempotency-Key`, as the IETF draft (draft-ietf-httpapi-idempotency-key-header) and the APIs that
 * people know from it have it.
 */

/** Characters of a key at most. */
export const MAX_KEY_LENGTH = 255;

/**
 * The key a header names. The draft has it in quotes, most clients send it bare: both name one key.
 */
export function readIdempotencyKey(header: string): Result<string> {
  const text = header.trim();
  const quoted = /^"((?:[^"\\]|\\["\\])*)"$/.exec(text)?.[1];
  const key = quoted === undefined ? text : quoted.replace(/\\(["\\])/g, "$1");
  if (/^[\x20-\x7e]+$/.test(key) && key.length <= MAX_KEY_LENGTH) return ok(key);
  return refuse(
    "invalid_request",
    `Idempotency-Key takes 1 to ${MAX_KEY_LENGTH} printable ASCII characters, such as a UUID.`,
    "Idempotency-Key",
    "invalid_idempotency_key",
  );
}

/**
 * A request that was not heard of for this long is taken for lost: the next one with its key does the
 * work. One that is under way says so three times in that time.
 */
export const TURN_MS = 30_000;

/** Headers of an answer that are given again with it. */
export const keptHeaders = z.record(z.string(), z.string());

/** An answer as it is given again: all of it that is about what was done. */
export interface KeptAnswer {
  status: number;
  headers: z.infer<typeof keptHeaders>;
  body: string;
}

/** What a Project says to a request that carries a key. */
export type Begun =
  /** Do it. What is made takes its id from `seed`, so that doing it again makes the same. */
  | { kind: "run"; seed: string; turn: string }
  /** It was done; this was the answer. */
  | { kind: "replay"; answer: KeptAnswer }
  /** The key belongs to another request. */
  | { kind: "other_request" }
  /** The first request with the key is still under way. */
  | { kind: "under_way" };
