import { NOTHING } from "../../src/batch/dispatch.ts";
import type { ExchangeReply, ExchangeRequest } from "../../src/batch/exchange.ts";
import { type Conversation, EXCHANGE_MS } from "./consumer.ts";
import { type Simulation, Violation } from "./simulation.ts";

/** One exchange on its way: there, in the Batch, or back. */
export class Exchange {
  readonly conversation: Conversation;
  readonly request: ExchangeRequest;
  readonly latestMs: number;
  /** The conversation waits no longer. */
  readonly overMs: number;
  stage: "sent" | "taken" | "answered" = "sent";
  readonly #simulation: Simulation;
  #generation: object | undefined;
  #reply: ExchangeReply | undefined;

  constructor(simulation: Simulation, conversation: Conversation) {
    this.#simulation = simulation;
    this.conversation = conversation;
    this.request = conversation.speak(simulation.nowMs);
    this.latestMs = simulation.nowMs + simulation.rpcTimeMs();
    this.overMs = simulation.nowMs + EXCHANGE_MS;
    simulation.exchanges.push(this);
  }

  /** Whether a generation of the batch works on it. */
  worksIn(generation: object): boolean {
    return this.stage === "taken" && this.#generation === generation;
  }

  /** The Batch takes it. */
  take(): void {
    const { batch } = this.conversation;
    this.stage = "taken";
    this.#generation = batch.generation;
    const work = batch.gone ? Promise.resolve(NOTHING) : batch.engine.exchange(this.request);
    this.#simulation.watch(work, (reply) => {
      batch.ledger.assigned(this.request.holder, reply.tasks);
      this.stage = "answered";
      this.#reply = reply;
    });
  }

  /** Its reply reaches the conversation. */
  answer(): void {
    const simulation = this.#simulation;
    const reply = this.#reply;
    if (reply === undefined) throw new Violation("an exchange without a reply was answered");
    this.#forget();
    const { conversation } = this;
    const { chance, nowMs } = simulation;
    conversation.answered(reply, this.request.leaving, nowMs, () => chance.between(10, 1_500));
    if (reply.invite) {
      conversation.invocation.open(simulation.batchOf(reply.invite.batch_id), true, nowMs);
    }
  }

  /** The conversation takes it for failed; a Batch that works on it goes on all the same. */
  lose(): void {
    this.#forget();
    this.conversation.failed(this.#simulation.nowMs);
  }

  /** The conversation is gone. */
  drop(): void {
    this.#forget();
  }

  #forget(): void {
    const { exchanges } = this.#simulation;
    this.#simulation.exchanges = exchanges.filter((other) => other !== this);
  }
}
