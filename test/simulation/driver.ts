import { checkAll, TERMINAL } from "./invariants.ts";
import { type Move, moves } from "./moves.ts";
import { type Options, Simulation, settle, Violation } from "./simulation.ts";
import { checkWebhooks, webhooksWait } from "./webhooks.ts";

/** Once faults stop every batch ends within this much virtual time, and this many steps. */
const CALM_MS = 10 * 60_000;
const CALM_STEPS = 6_000;

/** What a seed came to. */
export interface Outcome {
  seed: number;
  steps: number;
  /** Why it failed, with the step and the last lines of the trace. */
  failure: string | undefined;
}

/** Runs one seed from its first batch to the last webhook. Never throws. */
export async function simulate(seed: number, options: Partial<Options> = {}): Promise<Outcome> {
  const simulation = new Simulation(seed, options);
  const driver = new Driver(simulation);
  try {
    await driver.run();
    return { seed, steps: driver.steps, failure: undefined };
  } catch (error) {
    return { seed, steps: driver.steps, failure: describe(simulation, driver.steps, error) };
  } finally {
    simulation.close();
  }
}

function describe(simulation: Simulation, steps: number, error: unknown): string {
  const what =
    error instanceof Violation
      ? error.message
      : String(error instanceof Error ? error.stack : error);
  return [
    `seed ${simulation.seed}, step ${steps}: ${what}`,
    ...simulation.trace.slice(-30),
    `Replay it with: npm run simulate -- --seed ${simulation.seed}`,
  ].join("\n");
}

/** Decides what happens next, lets it happen, and checks what must hold. */
class Driver {
  steps = 0;
  readonly #simulation: Simulation;

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
  }

  async run(): Promise<void> {
    const { plan } = this.#simulation;
    while (this.steps < plan.steps) await this.#chaosStep();
    await this.#calm();
  }

  /** One step with faults: something that can happen, or time passing. */
  async #chaosStep(): Promise<void> {
    const { chance, nowMs } = this.#simulation;
    const possible = moves(this.#simulation);
    const limitMs = this.#limitMs(possible);
    const nextMs = this.#nextMs();
    const can = possible.filter(({ weight }) => weight > 0);
    const weight = limitMs <= nowMs ? 0 : 4;
    const move = chance.weighted<Move>([
      ...can,
      { weight, name: "time passes", run: () => this.#pass(limitMs, nextMs) },
    ]);
    // What can wait no longer comes before more time, and sooner or later before all else.
    const urgent = possible.filter(({ latestMs }) => latestMs !== undefined && latestMs <= nowMs);
    if (urgent.length > 0 && chance.maybe(0.5)) await this.#do(chance.pick(urgent));
    else await this.#do(move);
  }

  /** Without faults all comes to an end. */
  async #calm(): Promise<void> {
    const simulation = this.#simulation;
    simulation.say("-- faults stop --");
    simulation.chaos = false;
    simulation.down.clear();
    for (const { engine, gone } of simulation.batches) if (!gone) engine.resume();
    await this.#until("every batch has ended", CALM_MS, () =>
      simulation.batches.every(
        ({ ledger, gone }) => gone || TERMINAL.includes(ledger.row().status),
      ),
    );
    await this.#until(
      "every conversation is over",
      CALM_MS,
      () => simulation.invocations.length === 0,
    );
    const kept = () => simulation.batches.filter(({ gone }) => !gone);
    await this.#until("every webhook is delivered or given up", 4 * 86_400_000, () =>
      kept().every((batch) => !webhooksWait(batch)),
    );
    checkWebhooks(simulation);
  }

  async #until(what: string, withinMs: number, done: () => boolean): Promise<void> {
    const simulation = this.#simulation;
    const endMs = simulation.nowMs + withinMs;
    const lastStep = this.steps + CALM_STEPS;
    while (!done()) {
      if (simulation.nowMs > endMs || this.steps > lastStep) {
        throw new Violation(`faults have stopped, and it never comes that ${what}`);
      }
      const { chance, nowMs } = simulation;
      const now = moves(simulation).filter(
        ({ weight, latestMs = Number.POSITIVE_INFINITY }) => weight > 0 || latestMs <= nowMs,
      );
      if (now.length > 0) {
        await this.#do(chance.pick(now));
        continue;
      }
      const nextMs = this.#nextMs();
      if (nextMs === undefined) throw new Violation(`nothing is left to happen before ${what}`);
      await this.#do({ weight: 1, name: "time passes", run: () => this.#to(nextMs) });
    }
  }

  async #do(move: Move): Promise<void> {
    const simulation = this.#simulation;
    this.steps += 1;
    simulation.say(move.name);
    move.run();
    await settle();
    checkAll(simulation);
    for (const { ledger } of simulation.batches) ledger.reopening = false;
    dropIdle(simulation);
  }

  /** Lets time pass: to the next thing that waits for it, a little, or a lot. */
  #pass(limitMs: number, nextMs: number | undefined): void {
    const { chance, nowMs } = this.#simulation;
    const drawn = chance.next();
    let toMs = nowMs + chance.between(1, 2_000);
    if (drawn < 0.6 && nextMs !== undefined) toMs = nextMs;
    else if (drawn > 0.97) toMs = nowMs + chance.between(1, 30 * 3_600_000);
    else if (drawn > 0.87) toMs = nowMs + chance.between(1, 60_000);
    this.#to(Math.min(toMs, limitMs));
  }

  #to(atMs: number): void {
    const simulation = this.#simulation;
    simulation.say(`    ${atMs - simulation.nowMs} ms`);
    // Clocks tell whole milliseconds, and timers do not come early.
    simulation.nowMs = Math.ceil(atMs);
  }

  /** Time does not pass this before what must happen by then has happened. */
  #limitMs(possible: readonly Move[]): number {
    const { batches, invocations } = this.#simulation;
    const times = [
      ...possible.map(({ latestMs }) => latestMs),
      ...batches.map(({ alarming, alarmAtMs, alarmLatestMs }) =>
        alarming || alarmAtMs === undefined ? undefined : alarmLatestMs,
      ),
      ...invocations.flatMap(({ talks, calls }) => [
        ...talks.map((talk) => talk.latestMs()),
        ...calls.map(({ latestMs }) => latestMs),
      ]),
    ].filter((time) => time !== undefined);
    return Math.min(...times, Number.MAX_SAFE_INTEGER);
  }

  /** When something next happens by time alone. */
  #nextMs(): number | undefined {
    const { batches, invocations, nowMs, chaos } = this.#simulation;
    const times = [
      ...batches.map(({ alarmAtMs }) => alarmAtMs),
      ...invocations.flatMap(({ talks, calls, wallMs, frozenUntilMs }) => [
        wallMs,
        frozenUntilMs,
        ...talks.map((talk) => talk.nextMs()),
        ...calls.map(({ startMs, endMs }) => (chaos ? startMs : endMs)),
      ]),
    ].filter((time) => time !== undefined && time > nowMs);
    return times.length === 0 ? undefined : Math.min(...times.map(Number));
  }
}

/** Invocations whose conversations are all over have ended. */
function dropIdle(simulation: Simulation): void {
  const { invocations } = simulation;
  simulation.invocations = invocations.filter(({ talks }) => talks.length > 0);
}
