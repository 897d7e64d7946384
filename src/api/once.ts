import { createHash } from "node:crypto";
import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import { log } from "../log.ts";
import { projectStub } from "../stubs.ts";
import { ENDPOINTS } from "../wire/batch.ts";
import { readIdempotencyKey, TURN_MS } from "../wire/idempotency.ts";
import { newSeed } from "../wire/ids.ts";
import type { AppEnv } from "./auth.ts";
import { readText } from "./body.ts";
import { atOrganization, problemResponse } from "./errors.ts";

/**
 * What makes a POST safe to repeat. With an Idempotency-Key the first answer is kept and given again.
 * Without one, a batch that is asked for again by a request that says so is the batch there is.
 */

/** Bodies of POSTs that are read here; doors that take more read their own, and call `begin`. */
const MAX_BODY_BYTES = 16 * 1024 * 1024;
/** A longer answer is not kept, nor one that is no JSON: a stream is not held back to be kept. */
const MAX_ANSWER_LENGTH = 1_000_000;
/** Headers that are given again with a kept answer. */
const KEPT_HEADERS = ["content-type", "location"];
/** Says that a POST made nothing: what is answered was made before. */
export const REPLAYED = "idempotency-replayed";

/** Doors that take forms: files, and parts of uploads. Single calls take them, too. */
const FORMS = new RegExp(`^(/v1/files|/v1/uploads/[^/]+/parts|${ENDPOINTS.join("|")})$`);

/** Doors that take long bodies, and those that take forms, hash what they read and begin then. */
function beginsItself(c: Context<AppEnv>): boolean {
  const { path } = c.req;
  if (path === "/v1/batches" || path === "/v1/messages/batches") return true;
  return FORMS.test(path) && isForm(c.req.header("content-type"));
}

/** Whether a body is a form. Each try has a boundary of its own, so its bytes tell nothing. */
export function isForm(type = ""): boolean {
  return /^\s*multipart\/form-data\b/i.test(type);
}

/** Whether a request says that it was sent before: the official client's own retry of it. */
export function saysRetry(c: Context<AppEnv>): boolean {
  return /^[1-9]/.test(c.req.header("x-stainless-retry-count") ?? "");
}

/** The work is this request's to do. */
export interface Turn {
  /** What the ids of what it makes are made from: done again after a crash, it makes the same. */
  seed: string;
  /** Of the request: method, path and body. Null with a key, which knows its request itself. */
  fingerprint: string | null;
  /** Whether the request says that it was sent before, and carries no key that would tell. */
  isRetry: boolean;
}

/** One POST, from the moment its body is known. */
export class Once {
  /** What this try would make ids from; {@link begin} says whether it is the first. */
  readonly seed = newSeed();
  readonly #c: Context<AppEnv>;
  readonly #key: string | undefined;
  #turn: { id: string; seed: string } | undefined;
  #makesNothing = false;

  constructor(c: Context<AppEnv>, key: string | undefined) {
    this.#c = c;
    this.#key = key;
  }

  /** Whether the first answer to this request may be kept: what is done for it is looked up first. */
  get hasKey(): boolean {
    return this.#key !== undefined;
  }

  /** Whether this request may be one that was answered: by its key, or by what it says. */
  get mayBeRepeated(): boolean {
    return this.hasKey || saysRetry(this.#c);
  }

  /** What a door makes its ids from that did not begin by itself: {@link once} did. */
  get making(): Pick<Turn, "seed" | "isRetry"> {
    if (this.#key === undefined) return { seed: this.seed, isRetry: saysRetry(this.#c) };
    return { seed: this.#turn?.seed ?? this.seed, isRetry: false };
  }

  /**
   * Call it once what was sent is known, and before anything is made.
   *
   * @param sent SHA-256 of the body, or of what is in it if its bytes differ from try to try.
   * @returns the work, or the answer if there is nothing to do: the first one again, or a refusal.
   */
  async begin(sent: string): Promise<Turn | Response> {
    const { pathname, search } = new URL(this.#c.req.url);
    const fingerprint = sha256(`POST ${pathname}${search}\n${sent}`);
    if (this.#key === undefined) {
      return { seed: this.seed, fingerprint, isRetry: saysRetry(this.#c) };
    }
    const begun = await this.#project().beginWithKey(this.#key, fingerprint, this.seed);
    switch (begun.kind) {
      case "run":
        this.#turn = { id: begun.turn, seed: begun.seed };
        return { seed: begun.seed, fingerprint: null, isRetry: false };
      case "replay": {
        const { status, headers, body } = begun.answer;
        return new Response(body, { status, headers: { ...headers, [REPLAYED]: "true" } });
      }
      case "other_request":
        return problemResponse(this.#c, {
          code: "idempotency_key_reused",
          message:
            "This Idempotency-Key came with another request before. Send a new key, or the same method, path and body.",
          param: "Idempotency-Key",
        });
      case "under_way": {
        const response = problemResponse(this.#c, {
          code: "idempotency_key_in_use",
          message:
            "A request with this Idempotency-Key is still under way. Send it again in a few seconds to get its answer.",
          param: "Idempotency-Key",
        });
        response.headers.set("retry-after", "2");
        return response;
      }
    }
  }

  /** Says that this POST makes nothing, so that there is nothing to keep: its key stays as new. */
  makeNothing(): void {
    this.#makesNothing = true;
  }

  /** Says that the work is still under way, so that nobody takes it for lost. */
  async goOn(): Promise<void> {
    if (this.#key === undefined || this.#turn === undefined) return;
    await this.#project().prolongTurn(this.#key, this.#turn.id);
  }

  /** Keeps the answer of the work, or gives the key free. */
  async end(): Promise<void> {
    const { res } = this.#c;
    if (this.#key === undefined || this.#makesNothing) return;
    if (this.#turn === undefined) {
      if (!res.ok || res.headers.has(REPLAYED)) return;
      throw new Error(`${this.#c.req.path} paid no heed to its Idempotency-Key`);
    }
    const { id, seed } = this.#turn;
    const project = this.#project();
    if (res.status >= 500) return project.releaseKey(this.#key, id);
    if (!res.ok) return project.forgetKey(this.#key, id, seed);
    const type = res.headers.get("content-type") ?? "";
    if (!type.startsWith("application/json")) return project.forgetKey(this.#key, id, seed);
    const body = await res.clone().text();
    if (body.length > MAX_ANSWER_LENGTH) return project.forgetKey(this.#key, id, seed);
    const headers: Record<string, string> = {};
    for (const name of KEPT_HEADERS) {
      const value = res.headers.get(name);
      if (value !== null) headers[name] = value;
    }
    const answer = { status: res.status, headers, body };
    const kept = await project.keepAnswer(this.#key, id, seed, answer);
    if (kept.body !== body) this.#c.res = new Response(kept.body, kept);
  }

  #project() {
    return projectStub(this.#c.env, this.#c.get("project"));
  }
}

/** Gives every POST its {@link Once}, and keeps what it was answered. */
export const once = createMiddleware<AppEnv>(async (c, next) => {
  // An answer of the organization's routes may hold a key, which is kept nowhere.
  if (c.req.method !== "POST" || atOrganization(c.req.path)) return next();
  const header = c.req.header("idempotency-key");
  const key = header === undefined ? undefined : readIdempotencyKey(header);
  if (key !== undefined && !key.ok) return problemResponse(c, key.problem);
  const once = new Once(c, key?.value);
  c.set("once", once);
  if (key !== undefined && !beginsItself(c)) {
    const { url, headers, signal } = c.req.raw;
    const text = await readText(c.req.raw, MAX_BODY_BYTES);
    if (!text.ok) return problemResponse(c, text.problem);
    const begun = await once.begin(sha256(text.value));
    if (begun instanceof Response) return begun;
    c.req.raw = new Request(url, { method: "POST", headers, signal, body: text.value || null });
  }
  if (key === undefined) return next();
  const prolonging = setInterval(() => void once.goOn().catch(() => undefined), TURN_MS / 3);
  await next();
  clearInterval(prolonging);
  try {
    await once.end();
  } catch (error) {
    // The work is done; only its answer may not be there for a repeat, which then does it again.
    log({ event: "answer_not_kept", error: String(error) });
  }
  return undefined;
});

/** Of a text as UTF-8, in hex. */
export function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
