import type { Sql } from "../core/sql.ts";
import { newSecret } from "../webhooks/sign.ts";
import { noSuch, ok, type Result, refuse } from "../wire/errors.ts";
import { newEndpointId } from "../wire/ids.ts";
import type { EndpointChange, NewEndpoint } from "../wire/webhook-endpoint.ts";
import { EndpointStore } from "./endpoint-store.ts";
import type { Endpoint } from "./schema.ts";
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

/** What a project does with its webhook endpoints. Time and chance are the caller's. */
export class Endpoints {
  readonly #store: EndpointStore;

  constructor(sql: Sql) {
    this.#store = new EndpointStore(sql);
  }

  /** Adds an endpoint. Its URL has been checked. @param random 32 bytes for its secret. */
  create(asked: NewEndpoint, random: Uint8Array, nowMs: number): Result<NamedSecret> {
    if (this.#store.count() >= MAX_ENDPOINTS) {
      return refuse(
        "conflict",
        `This project has ${MAX_ENDPOINTS} webhook endpoints, the most it may have. Delete one that is not needed, or change its url.`,
        undefined,
        "too_many_webhook_endpoints",
      );
    }
    const id = newEndpointId();
    const secret = newSecret(random);
    this.#store.add(id, asked, secret, nowMs);
    return this.#withSecret(id, secret);
  }

  /** An endpoint. */
  get(id: string): Result<Endpoint> {
    const endpoint = this.#store.get(id);
    return endpoint === undefined ? noSuch("webhook endpoint", id) : ok(endpoint);
  }

  /** Endpoints, the newest first. */
  list(after: string | undefined, limit: number): Result<Page<Endpoint>> {
    if (after !== undefined && this.#store.get(after) === undefined) {
      return refuse("invalid_request", `No webhook endpoint with id '${after}'.`, "after");
    }
    return ok(this.#store.page(after, limit));
  }

  /** Changes what is given. See {@link EndpointStore.update}. */
  update(id: string, change: EndpointChange, nowMs: number): Result<Endpoint> {
    this.#store.update(id, change, nowMs);
    return this.get(id);
  }

  /** Takes an endpoint out: what is still to be sent to it is not sent. */
  remove(id: string): Result<string> {
    const found = this.get(id);
    if (!found.ok) return found;
    this.#store.remove(id);
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

  #withSecret(id: string, secret: string): Result<NamedSecret> {
    const endpoint = this.get(id);
    return endpoint.ok ? ok({ endpoint: endpoint.value, secret }) : endpoint;
  }
}

/** New random bytes for a secret. */
export function secretBytes(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
}
