import type { IncomingMessage, ServerResponse } from "node:http";
import { type ApiError, anthropicBody } from "./api-error.ts";
import type { Dialect } from "./digest.ts";
import type { Limits } from "./limits.ts";
import type { PromptRecord, Tally } from "./stats.ts";

/** The answer that a call counts as once its last byte is sent. */
export interface Answered {
  record: PromptRecord;
  latencyMs: number;
}

/**
 * One call, from its arrival until its response ends or its client goes away. It counts exactly
 * once in `byStatus`, and whatever it still waits for ends with it.
 */
export class Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** What it counts in and is limited by: those of its arrival, whatever is reset meanwhile. */
  readonly tally: Tally;
  readonly limits: Limits;
  readonly dialect: Dialect;
  readonly #requestId: string;
  #timer: NodeJS.Timeout | undefined;
  #status = "aborted";
  #counted = false;
  #letIn = false;
  #answered: Answered | undefined;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    requestId: string,
    tally: Tally,
    limits: Limits,
    dialect: Dialect,
  ) {
    this.request = request;
    this.response = response;
    this.#requestId = requestId;
    this.tally = tally;
    this.limits = limits;
    this.dialect = dialect;
    tally.arrive(this.credential);
    response.on("close", () => this.#end());
  }

  /** The key the call came with, as its header has it. */
  get credential(): string | undefined {
    const { authorization, "x-api-key": key } = this.request.headers;
    return authorization ?? (key === undefined ? undefined : `x-api-key: ${String(key)}`);
  }

  /** The limits have let this call in; its end makes room for another. */
  enter(): void {
    this.#letIn = true;
  }

  /** Goes on after a time, unless the client goes away before. */
  after(ms: number, next: () => void): void {
    if (ms <= 0) next();
    else this.#timer = setTimeout(next, ms);
  }

  /** Counts the call under a name of its own, now. For faults: no status describes them. */
  count(name: string): void {
    if (this.#counted) return;
    this.#counted = true;
    this.tally.count(name);
  }

  /** Sends the status line and headers, with the request id and the limits. */
  writeHead(status: number, headers: Record<string, string | number>): void {
    this.#status = String(status);
    headers[this.dialect === "anthropic" ? "request-id" : "x-request-id"] = this.#requestId;
    this.limits.addHeaders(headers, performance.now(), this.dialect);
    this.response.writeHead(status, headers);
  }

  /** Sends the rest of the body. With `answered`, the call is an answer once that is done. */
  finish(body: string, answered?: Answered): void {
    this.#answered = answered;
    this.response.end(body);
  }

  sendError(error: ApiError, headers: Record<string, string> = {}): void {
    const body = JSON.stringify(
      this.dialect === "anthropic" ? anthropicBody(error, this.#requestId) : error.body,
    );
    this.writeHead(error.status, {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
      ...headers,
    });
    this.finish(body);
  }

  #end(): void {
    clearTimeout(this.#timer);
    this.tally.leave();
    if (this.#letIn) this.limits.release();
    const sent = this.response.writableFinished;
    this.count(sent ? this.#status : "aborted");
    if (sent && this.#answered) this.tally.answer(this.#answered.record, this.#answered.latencyMs);
  }
}
