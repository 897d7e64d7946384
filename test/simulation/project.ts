import type { Database } from "../../src/core/sql.ts";
import type {
  EndpointAttempt,
  EndpointTarget,
  Subscriber,
} from "../../src/project/endpoint-rpc.ts";
import { Endpoints } from "../../src/project/endpoints.ts";
import { type EndpointRow, migrations } from "../../src/project/schema.ts";
import { type EventType, eventType } from "../../src/wire/event.ts";
import type { Simulation } from "./simulation.ts";
import { SqliteFile } from "./sqlite.ts";

/** Since when an endpoint would take an event of each type, without a break. */
type Takes = Map<EventType, number>;

/** A Project object, as far as its webhook endpoints go: the real code over a real database. */
export class SimulatedProject {
  readonly file = new SqliteFile(migrations);
  readonly #simulation: Simulation;
  readonly #handle: Database;
  readonly #endpoints: Endpoints;
  #made = 0;
  /** What is known of each endpoint that there is, apart from the code that is tested. */
  readonly takes = new Map<string, Takes>();

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
    this.#handle = this.file.open(simulation.options.rewrite);
    this.#endpoints = new Endpoints(this.#handle.sql);
  }

  takersOf(type: EventType): Subscriber[] {
    return this.#endpoints.takers(type);
  }

  target(id: string, type: EventType): EndpointTarget {
    return this.#endpoints.target(id, type, this.#simulation.nowMs);
  }

  note(attempts: EndpointAttempt[]): void {
    this.#handle.transactionSync(() => this.#endpoints.note(attempts, this.#simulation.nowMs));
    this.#look();
  }

  rows(): EndpointRow[] {
    return this.file.rows<EndpointRow>("SELECT * FROM endpoint ORDER BY id");
  }

  /** A client does something to the endpoints. */
  steer(): string {
    const { chance, nowMs } = this.#simulation;
    const ids = this.rows().map(({ id }) => id);
    const random = new Uint8Array(32).fill(this.#made);
    const types = eventType.options.filter(() => chance.maybe(0.7));
    const event_types = types.length === 0 ? ["batch.completed" as const] : types;
    const url = `https://receiver-${chance.between(1, 3)}.test/hook`;
    if (ids.length === 0 || (ids.length < 3 && chance.maybe(0.4))) {
      this.#made += 1;
      const id = `whe_${this.#made.toString(16).padStart(32, "0")}`;
      this.#endpoints.create(id, { name: "e", url, event_types }, random, nowMs);
      this.#look();
      return `creates ${this.#made} for ${event_types}`;
    }
    const id = chance.pick(ids);
    const what = chance.pick(["delete", "disable", "enable", "types", "url", "rotate"] as const);
    if (what === "delete") this.#endpoints.remove(id, nowMs);
    else if (what === "rotate") this.#endpoints.rotate(id, chance.maybe(0.5), random, nowMs);
    else {
      const changes = {
        disable: { muster: { enabled: false } },
        enable: { muster: { enabled: true } },
        types: { event_types },
        url: { url },
      };
      this.#endpoints.update(id, changes[what], nowMs);
    }
    this.#look();
    return `${what}s ${Number(id.slice("whe_".length))}`;
  }

  /** Notes which endpoints take which events from now on, by their rows alone. */
  #look(): void {
    const { nowMs } = this.#simulation;
    const before = new Map(this.takes);
    this.takes.clear();
    for (const { id, disabled_at, event_types } of this.rows()) {
      const taken: Takes = new Map();
      for (const type of eventType.options) {
        if (disabled_at !== null || !event_types.includes(`"${type}"`)) continue;
        taken.set(type, before.get(id)?.get(type) ?? nowMs);
      }
      this.takes.set(id, taken);
    }
  }
}
