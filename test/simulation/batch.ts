import { Engine } from "../../src/batch/engine.ts";
import { migrations } from "../../src/batch/migrations.ts";
import type { Store } from "../../src/batch/store/store.ts";
import type { Digest } from "../../src/project/digest.ts";
import type { BatchRef } from "../../src/wire/messages.ts";
import type { Intake } from "./intake.ts";
import { Ledger, WATCH } from "./invariants.ts";
import type { Simulation } from "./simulation.ts";
import { type Handle, SqliteFile } from "./sqlite.ts";
import { simulatedWorld } from "./world.ts";

/** A Batch object: storage and an alarm that last, and one generation of its engine at a time. */
export class SimulatedBatch {
  readonly ref: BatchRef;
  /** How many tasks it was opened with, or lines its file has. */
  readonly asked: number;
  /** The input file, for a batch that is opened from one, until it is deleted. */
  source: Uint8Array | undefined;
  readonly file = new SqliteFile(migrations, WATCH);
  readonly ledger: Ledger;
  /** Output and error file as the Project's index has them. */
  registered: { output: number; error: number } | undefined;
  /** What the Project knows of it. */
  noted: Digest | undefined;
  alarmAtMs: number | undefined;
  /** It has fired by then: alarms come late, but they come. */
  alarmLatestMs = 0;
  /** Whether the alarm's handler runs; the next one waits for it. */
  alarming = false;
  /** Whether it was deleted, at the end of its retention. */
  gone = false;
  /** Names the engine that lives; all others are dead. */
  generation: object = {};
  readonly #simulation: Simulation;
  #handle: Handle;
  #engine: Engine;

  constructor(simulation: Simulation, { batch, tasks, source }: Intake) {
    this.#simulation = simulation;
    this.ref = { project: batch.project, batch_id: batch.batch_id };
    this.asked = tasks?.length ?? linesOf(source);
    this.source = source;
    this.ledger = new Ledger(this);
    [this.#handle, this.#engine] = this.#start();
  }

  get name(): string {
    return this.ref.batch_id.slice(-4);
  }

  get engine(): Engine {
    return this.#engine;
  }

  /** Whether an engine of this generation is the one that lives. */
  lives(generation: object): boolean {
    return this.generation === generation;
  }

  /** The object loses its memory at once, whatever it was waiting for. */
  evict(): void {
    this.#handle.kill();
    if (this.alarming) {
      // A handler that did not end is run again, unless the next alarm comes first.
      const againMs = this.#simulation.nowMs + 2_000;
      if (this.alarmAtMs === undefined || this.#simulation.chance.maybe(0.5)) {
        this.setAlarm(Math.min(this.alarmAtMs ?? againMs, againMs));
      }
    }
    this.alarming = false;
    [this.#handle, this.#engine] = this.#start();
  }

  setAlarm(atMs: number): void {
    this.alarmAtMs = atMs;
    this.alarmLatestMs = atMs + this.#simulation.alarmDelayMs();
  }

  /** Runs the alarm that is due. */
  fire(): void {
    const generation = this.generation;
    this.alarmAtMs = undefined;
    this.alarming = true;
    this.#simulation.watch(this.#engine.alarm(), () => {
      if (this.lives(generation)) this.alarming = false;
    });
  }

  /** Deletes it and its storage. */
  forget(): void {
    this.ledger.forgotten(this.#simulation.nowMs, this.#simulation.plan.config.retentionMs);
    this.gone = true;
    this.alarmAtMs = undefined;
  }

  #start(): [Handle, Engine] {
    const generation = {};
    this.generation = generation;
    const { options, plan } = this.#simulation;
    const handle = this.file.open(options.rewrite);
    const store: Store = options.store(handle);
    const world = simulatedWorld(this.#simulation, this, generation);
    return [handle, new Engine(store, world, plan.config, this.alarmAtMs)];
  }
}

/** Lines of an input file that are not blank. */
function linesOf(source: Uint8Array | undefined): number {
  const lines = new TextDecoder().decode(source).split("\n");
  return lines.filter((line) => line.trim() !== "").length;
}
