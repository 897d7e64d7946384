import { quoted } from "../core/quoted.ts";
import type { Sql } from "../core/sql.ts";
import { log } from "../log.ts";
import { newSecret } from "../webhooks/sign.ts";
import { noSuch, ok, type Result, refuse } from "../wire/errors.ts";
import type { EventType } from "../wire/event.ts";
import type { EndpointChange, NewEndpoint } from "../wire/webhook-endpoint.ts";
import { AttemptStore } from "./attempt-store.ts";
import { Deleted } from "./deleted.ts";
import type { EndpointAttempt, EndpointTarget, Subscriber } from "./endpoint-rpc.ts";
import { EndpointStore } from "./endpoint-store.ts";
import type { Endpoint, EndpointAttemptRow } from "./schema.ts";
import type { Page } from "./store.ts";

/** An endpoint with the secret that was just made for it. */
export interface NamedSecret {
  endpoint: Endpoint;
  secret: string;
}

/** Endpoints of one project: each batch that ends is sent to all of them that want its event. */
const MAX_ENDPOINTS = 20;
/** `keep_old_secret_active_for_24_hours`. */
const ROTATION_MS = 24 * 3_600_000;
const SECRET_BYTES = 32;
/** A client's own retries are over by then. */
const RETRY_MS = 10 * 60_000;
const GONE =
  "Its receiver answered 410 Gone. Give it another url, or set muster.enabled, to send to it again.";

/** What a project does with its webhook endpoints. Time and chance are the caller's. */
export class Endpoints {
  readonly #store: EndpointStore;
  readonly #attempts: AttemptStore;
  readonly #deleted: Deleted;

  constructor(sql: Sql) {
    this.#store = new EndpointStore(sql);
    this.#attempts = new AttemptStore(sql);
    this.#deleted = new Deleted(sql);
  }

  /**
   * Adds an endpoint. Its URL has been checked. The same id twice is one endpoint, the first.
   *
   * @param random 32 bytes for its secret.
   */
  create(id: string, asked: NewEndpoint, random: Uint8Array, nowMs: number): Result<NamedSecret> {
    const [before] = this.#store.secrets(id, nowMs);
    if (before !== undefined) return this.#withSecret(id, before);
    if (this.#store.count() >= MAX_ENDPOINTS) {
      return refuse(
        "conflict",
        `This project has ${MAX_ENDPOINTS} webhook endpoints, the most it may have. Delete one that is not needed, or change its url.`,
        undefined,
        "too_many_webhook_endpoints",
      );
    }
    const secret = newSecret(random);
    this.#store.add(id, asked, secret, nowMs);
    return this.#withSecret(id, secret);
  }

  /**
   * The endpoint that the same request made a moment ago, with its secret: the answer to it was
   * lost. A second one would be sent everything twice, signed with a secret that nobody was told.
   */
  made(asked: NewEndpoint, nowMs: number): Result<NamedSecret> | undefined {
    const id = this.#store.madeSince(asked, nowMs - RETRY_MS);
    const [secret] = id === undefined ? [] : this.#store.secrets(id, nowMs);
    return id === undefined || secret === undefined ? undefined : this.#withSecret(id, secret);
  }

  /** An endpoint. */
  get(id: string): Result<Endpoint> {
    const endpoint = this.#store.get(id);
    return endpoint === undefined ? noSuch("webhook endpoint", id) : ok(endpoint);
  }

  /** Endpoints, the newest first. One that was deleted a short while ago is a good `after`. */
  list(after: string | undefined, limit: number): Result<Page<Endpoint>> {
    if (after !== undefined && !this.#isCursor(after)) {
      return refuse("invalid_request", `No webhook endpoint with id '${quoted(after)}'.`, "after");
    }
    return ok(this.#store.page(after, limit));
  }

  /** Changes what is given. See {@link EndpointStore.update}. */
  update(id: string, change: EndpointChange, nowMs: number): Result<Endpoint> {
    this.#store.update(id, change, nowMs);
    return this.get(id);
  }

  /** Takes an endpoint out: what is still to be sent to it is not sent. */
  remove(id: string, nowMs: number): Result<string> {
    const found = this.get(id);
    if (!found.ok) return found;
    this.#deleted.remember("endpoint", "id", id, nowMs);
    this.#store.remove(id);
    this.#attempts.remove(id);
    return ok(id);
  }

  /** Makes a new secret. With `keepOld` the old one signs beside it for 24 hours. */
  rotate(id: string, keepOld: boolean, random: Uint8Array, nowMs: number): Result<NamedSecret> {
    const found = this.get(id);
    if (!found.ok) return found;
    const secret = newSecret(random);
    this.#store.rotate(id, secret, keepOld ? nowMs + ROTATION_MS : undefined, nowMs);
    return this.#withSecret(id, secret);
  }

  /** Who is to be sent an event of this type. */
  takers(type: EventType): Subscriber[] {
    return this.#store.takers(type);
  }

  /** How an event of this type is sent to an endpoint now, or why it is not any more. */
  target(id: string, type: EventType, nowMs: number): EndpointTarget {
    const endpoint = this.#store.get(id);
    if (endpoint === undefined) return closed("The endpoint was deleted.");
    if (endpoint.disabled_at !== null) {
      return closed(`The endpoint is disabled. ${endpoint.disabled_reason ?? ""}`.trim());
    }
    if (!endpoint.eventTypes.includes(type)) {
      return closed(`The endpoint does not take ${type} any more.`);
    }
    const { url, rest_until } = endpoint;
    return { open: true, url, secrets: this.#store.secrets(id, nowMs), restUntilMs: rest_until };
  }

  /** What a test is sent with: the same whether the endpoint is enabled or not. */
  testTarget(id: string, nowMs: number): Result<{ url: string; secrets: string[] }> {
    const found = this.get(id);
    if (!found.ok) return found;
    return ok({ url: found.value.url, secrets: this.#store.secrets(id, nowMs) });
  }

  /**
   * Takes note of attempts. A 410 disables its endpoint; one that has too much to do is left alone
   * by all batches. What a test meets changes nothing. Twice is once.
   */
  note(attempts: readonly EndpointAttempt[], nowMs: number): void {
    for (const attempt of attempts) {
      const { endpointId, startedMs, batchId, status, restUntilMs } = attempt;
      if (this.#store.get(endpointId) === undefined) continue;
      this.#attempts.add(attempt);
      if (batchId === null) continue;
      if (status === 410 && this.#store.disable(endpointId, GONE, startedMs, nowMs)) {
        log({ event: "endpoint_disabled", endpoint: endpointId, status });
      }
      if (restUntilMs > nowMs) this.#store.rest(endpointId, restUntilMs, startedMs);
    }
  }

  /** The last attempts at an endpoint, the newest first. */
  attempts(id: string): Result<EndpointAttemptRow[]> {
    const found = this.get(id);
    return found.ok ? ok(this.#attempts.all(id)) : found;
  }

  #isCursor(id: string): boolean {
    return this.#store.get(id) !== undefined || this.#deleted.has(id);
  }

  #withSecret(id: string, secret: string): Result<NamedSecret> {
    const endpoint = this.get(id);
    return endpoint.ok ? ok({ endpoint: endpoint.value, secret }) : endpoint;
  }
}

function closed(reason: string): EndpointTarget {
  return { open: false, reason };
}

/** New random bytes for a secret. */
export function secretBytes(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
}
