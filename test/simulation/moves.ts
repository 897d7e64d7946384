import { hasEnded } from "../../src/wire/batch.ts";
import { SimulatedBatch } from "./batch.ts";
import type { Chance } from "./chance.ts";
import { type Call, Invocation } from "./consumer.ts";
import { Exchange } from "./exchange.ts";
import { drawIntake } from "./intake.ts";
import type { Simulation } from "./simulation.ts";
import { draw, drawUnanswered } from "./upstream.ts";

/** Something that can happen next. */
export interface Move {
  weight: number;
  name: string;
  /** It has happened by then: time does not pass before it has. */
  latestMs?: number | undefined;
  run(): void;
}

/** All that can happen now apart from time passing: what must come sooner or later, and faults. */
export function moves(simulation: Simulation): Move[] {
  const all: Move[] = [];
  rpcMoves(simulation, all);
  exchangeMoves(simulation, all);
  consumerMoves(simulation, all);
  alarmMoves(simulation, all);
  queueMoves(simulation, all);
  if (simulation.chaos) {
    openMoves(simulation, all);
    steeringMoves(simulation, all);
    crashMoves(simulation, all);
  }
  return all;
}

function rpcMoves({ rpcs, plan, chaos, chance }: Simulation, all: Move[]): void {
  for (const rpc of rpcs.pending) {
    all.push({
      weight: 3,
      name: rpc.name,
      latestMs: rpc.latestMs,
      run: () => {
        const broken = chaos && chance.maybe(plan.faults.rpc);
        if (!broken) rpc.complete();
        else if (chance.maybe(0.5)) rpc.fail();
        else rpc.loseReply();
      },
    });
  }
}

function exchangeMoves(simulation: Simulation, all: Move[]): void {
  const { chance, chaos, plan, nowMs } = simulation;
  const breaks = chaos ? plan.faults.exchange : 0;
  for (const exchange of simulation.exchanges) {
    const { stage, conversation, request, latestMs } = exchange;
    const { holder, reports, want, holding } = request;
    const name = `exchange of ${holder} with ${conversation.batch.name}`;
    if (stage === "sent") {
      const told = reports.map(({ seq, attempt, verdict }) => `${seq}/${attempt} ${verdict.kind}`);
      const has = holding.map(({ seq, attempt }) => `${seq}/${attempt}`);
      all.push({
        weight: 3,
        name: `${name}: reports [${told.join(", ")}], holds [${has.join(", ")}], wants ${want}`,
        latestMs,
        run: () => (chance.maybe(breaks) ? exchange.lose() : exchange.take()),
      });
    } else if (stage === "answered") {
      if (nowMs < conversation.invocation.frozenUntilMs) continue;
      all.push({
        weight: 3,
        name: `${name}: the reply`,
        latestMs,
        run: () => (chance.maybe(breaks) ? exchange.lose() : exchange.answer()),
      });
    } else if (breaks > 0 || nowMs >= exchange.overMs) {
      all.push({
        weight: 8 * breaks,
        latestMs: exchange.overMs,
        name: `${name}: breaks while it is worked on`,
        run: () => exchange.lose(),
      });
    }
  }
}

function consumerMoves(simulation: Simulation, all: Move[]): void {
  const { nowMs, chaos, plan, chance } = simulation;
  for (const invocation of simulation.invocations) {
    for (const talk of invocation.talks) {
      const due = talk.due(nowMs);
      if (due === undefined) continue;
      all.push({
        weight: 3,
        name: `${talk.holder} ${due}s, of ${talk.batch.name}`,
        latestMs: talk.latestMs(),
        run: () => (due === "seek" ? talk.seek() : new Exchange(simulation, talk)),
      });
    }
    for (const call of invocation.calls) {
      const { conversation, seq, attempt } = call;
      if (nowMs < (chaos ? call.startMs : call.endMs)) continue;
      all.push({
        weight: 1.5,
        name: `call ${seq}/${attempt} of ${conversation.batch.name} in ${conversation.holder} to ${call.upstream} ends`,
        latestMs: call.latestMs,
        run: () => endCall(simulation, invocation, call),
      });
    }
    if (chaos) {
      all.push({
        weight: plan.faults.freezeConsumer,
        name: `${invocation.name} freezes`,
        run: () => {
          const forMs = chance.between(1, 3 * plan.config.claimTtlMs);
          invocation.frozenUntilMs = Math.max(invocation.frozenUntilMs, nowMs + forMs);
        },
      });
    }
    all.push({
      weight: chaos ? plan.faults.killConsumer : 0,
      name: `${invocation.name} is killed`,
      latestMs: invocation.wallMs,
      run: () => killInvocation(simulation, invocation),
    });
  }
}

function endCall(simulation: Simulation, invocation: Invocation, call: Call): void {
  const { chance, plan, chaos } = simulation;
  const answers = chaos
    ? plan.answers
    : { succeeded: 1, failed: 0, retry: 0, throttled: 0, unauthorized: 0 };
  const { seq, attempt, upstream } = call;
  const isDown = simulation.down.has(upstream);
  const report = isDown
    ? drawUnanswered(chance, seq, attempt)
    : draw(chance, answers, seq, attempt);
  simulation.say(`    ${report.verdict.kind}`);
  call.conversation.batch.ledger.called(report);
  invocation.finish(call, report);
}

function killInvocation(simulation: Simulation, invocation: Invocation): void {
  simulation.invocations = simulation.invocations.filter((other) => other !== invocation);
  for (const exchange of simulation.exchanges) {
    if (exchange.conversation.invocation === invocation) exchange.drop();
  }
}

function alarmMoves({ batches, nowMs }: Simulation, all: Move[]): void {
  for (const batch of batches) {
    if (batch.alarming || batch.alarmAtMs === undefined || batch.alarmAtMs > nowMs) continue;
    all.push({
      weight: 3,
      name: `alarm of ${batch.name}`,
      latestMs: batch.alarmLatestMs,
      run: () => batch.fire(),
    });
  }
}

function queueMoves(simulation: Simulation, all: Move[]): void {
  const { queue, plan, chaos, chance, nowMs, invocations } = simulation;
  for (const [index, pointer] of queue.entries()) {
    const batch = simulation.batchOf(pointer.batch_id);
    const take = () => {
      simulation.queue = queue.filter((_, other) => other !== index);
    };
    if (invocations.length < plan.consumers) {
      all.push({
        weight: 3,
        name: `a pointer to ${batch.name} arrives`,
        // Where there are no faults a message that can be taken is taken.
        latestMs: chaos ? undefined : nowMs,
        run: () => {
          if (!chaos || !chance.maybe(plan.faults.pointer * 0.1)) take();
          simulation.invocationsBegun += 1;
          const name = `consumer-${simulation.invocationsBegun}`;
          const invocation = new Invocation(name, plan.config, nowMs);
          invocation.open(batch, false, nowMs);
          invocations.push(invocation);
        },
      });
    }
    if (chaos && plan.faults.pointer > 0) {
      all.push({
        weight: plan.faults.pointer,
        name: `a pointer to ${batch.name} is lost`,
        run: take,
      });
    }
  }
}

function openMoves(simulation: Simulation, all: Move[]): void {
  const { batches, plan, chance } = simulation;
  if (batches.length >= plan.batches) return;
  all.push({
    weight: batches.length === 0 ? 1_000 : 1,
    name: "batches are opened",
    run: () => {
      const count = chance.between(1, plan.batches - batches.length);
      for (let opened = 0; opened < count; opened += 1) openBatch(simulation);
    },
  });
}

function openBatch(simulation: Simulation): void {
  const { chance, batches, nowMs } = simulation;
  const intake = drawIntake(simulation.plan, chance, batches.length + 1, nowMs);
  const { batch, tasks, source } = intake;
  const simulated = new SimulatedBatch(simulation, intake);
  batches.push(simulated);
  // A client that did not hear the answer sends it again.
  for (let times = chance.maybe(0.1) ? 2 : 1; times > 0; times -= 1) {
    simulated.engine.open(batch, tasks);
  }
  const { max_concurrency, completion_window, on_unknown, webhook_url } = batch;
  const { max_tokens_total, max_cost } = batch;
  const from = tasks === null ? `a file of ${source?.length} bytes` : `${tasks.length} tasks`;
  simulation.say(
    `    ${simulated.name}: ${from}, max ${max_concurrency}, budget ${max_tokens_total} and ${max_cost}, ${completion_window}, on_unknown ${on_unknown}, ${webhook_url ? "a webhook" : "no webhook"}`,
  );
}

function steeringMoves(simulation: Simulation, all: Move[]): void {
  const { chance, plan } = simulation;
  const { faults } = plan;
  for (const batch of simulation.batches) {
    if (batch.gone) continue;
    const { engine, ledger, name } = batch;
    const add = (weight: number, what: string, run: () => void) => {
      if (weight > 0) all.push({ weight, name: `${what} ${name}`, run });
    };
    // A file is read in a few steps: what befalls its batch meanwhile would hardly ever come.
    const isRead = ledger.row().source_read === 0;
    add(faults.cancel * (isRead ? 8 : 1), "cancel", () => engine.cancel());
    add(isRead ? faults.remove : 0, "delete the input file of", () => {
      batch.source = undefined;
    });
    add(faults.pause, "pause", () => engine.pause());
    add(faults.pause, "resume", () => engine.resume());
    add(faults.poke, "poke", () => engine.poke());
    add(faults.change, "change", () => {
      const max_concurrency = chance.maybe(0.2) ? null : chance.between(1, 6);
      const pool = chance.maybe(plan.pools / 2) ? { pool: chance.maybe(0.5) } : {};
      const change = { max_concurrency, ...pool, ...drawBudget(chance, plan.budgets) };
      const changed = engine.change(change);
      simulation.say(`    ${JSON.stringify(change)}: ${changed.ok ? "done" : "refused"}`);
    });
    add(faults.retry, "retry", () => {
      ledger.reopening = true;
      const change = drawBudget(chance, plan.budgets);
      const retried = engine.retry(change);
      simulation.say(`    ${JSON.stringify(change)}: ${retried.ok ? "done" : "refused"}`);
    });
    add(faults.remove, "delete", () => {
      const may = hasEnded(ledger.row().status) && !engine.isRemoved();
      if (engine.remove().ok !== may) throw new Error(`${name}: its end decides whether it goes`);
    });
    add(faults.resend, "resend the webhook of", () => {
      const deliveries = engine.reader.deliveries();
      if (deliveries.length > 0) engine.resend(chance.pick(deliveries).delivery.id);
    });
  }
  for (const name of ["project-1", "project-2"]) {
    if (faults.endpoints === 0) break;
    all.push({
      weight: faults.endpoints,
      name: `a client of ${name} changes its endpoints`,
      run: () => simulation.say(`    ${simulation.projectOf(name).steer()}`),
    });
  }
}

/** A change of a batch's budget, or none. */
function drawBudget(
  chance: Chance,
  budgets: number,
): {
  max_tokens_total?: number | null;
  max_cost?: number | null;
} {
  const limit = (most: number) => (chance.maybe(0.2) ? null : chance.between(1, most));
  return {
    ...(chance.maybe(budgets) ? { max_tokens_total: limit(5_000) } : {}),
    ...(chance.maybe(budgets) ? { max_cost: limit(14_000) } : {}),
  };
}

function crashMoves(simulation: Simulation, all: Move[]): void {
  const { faults } = simulation.plan;
  for (const batch of simulation.batches) {
    if (batch.gone) continue;
    all.push({
      weight: faults.evictBatch,
      name: `${batch.name} is evicted`,
      run: () => evictBatch(simulation, batch),
    });
  }
  for (const limiter of simulation.limiters) {
    const { quota } = limiter;
    all.push({
      weight: faults.evictLimiter,
      name: `the Limiter of ${quota} is evicted`,
      run: () => limiter.evict(),
    });
    const isDown = simulation.down.has(quota);
    all.push({
      // Down for longer than up: calls must find out, and be made elsewhere.
      weight: isDown ? faults.outage / 10 : faults.outage,
      name: `${quota} ${isDown ? "is back" : "goes down"}`,
      run: () => {
        if (isDown) simulation.down.delete(quota);
        else simulation.down.add(quota);
      },
    });
  }
}

function evictBatch(simulation: Simulation, batch: SimulatedBatch): void {
  const { generation } = batch;
  // What it had sent arrives, in order, or not at all.
  for (const rpc of simulation.rpcs.abandon(generation)) {
    if (simulation.chance.maybe(0.5)) rpc.arrive();
  }
  batch.evict();
  for (const exchange of simulation.exchanges) {
    if (exchange.worksIn(generation)) exchange.lose();
  }
}
