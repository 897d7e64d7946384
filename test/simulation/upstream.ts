import type { Report } from "../../src/batch/exchange.ts";
import type { Unanswered, Verdict } from "../../src/core/outcome.ts";
import type { Chance } from "./chance.ts";
import type { Answers } from "./plan.ts";

/** What one call to the upstream comes to, as a consumer reports it. */
export function draw(chance: Chance, answers: Answers, seq: number, attempt: number): Report {
  const { kind } = chance.weighted(
    Object.entries(answers).map(([kind, weight]) => ({ kind: kind as keyof Answers, weight })),
  );
  const call = { seq, attempt, tookMs: chance.between(1, 2_000) };
  const body = answerBody(seq, attempt);
  const answered = (status: number) => ({
    kind: "answered" as const,
    status,
    requestId: chance.maybe(0.5) ? "" : `req-"${seq}"`,
    body,
  });
  // A failed call may have used tokens, too, and a good one may not say.
  const used = (probability: number) => {
    const input_tokens = chance.between(0, 200);
    const usage = {
      input_tokens,
      cached_tokens: chance.between(0, input_tokens),
      output_tokens: chance.between(0, 200),
      reasoning_tokens: 0,
    };
    return chance.maybe(probability) ? { usage } : {};
  };
  switch (kind) {
    case "succeeded":
      return { ...call, verdict: { kind: "succeeded" }, result: answered(200), ...used(0.8) };
    case "failed":
      return { ...call, verdict: { kind: "failed" }, result: answered(400), ...used(0.2) };
    case "unauthorized":
      return { ...call, verdict: { kind: "failed" }, result: answered(401) };
    case "throttled":
      return { ...call, verdict: waiting("throttled", chance), result: answered(429) };
    case "retry": {
      const verdict = waiting("retry", chance);
      if (chance.maybe(0.5)) return { ...call, verdict, result: answered(503), ...used(0.2) };
      const code = chance.pick<Unanswered>(["timeout", "connection_error", "invalid_response"]);
      return { ...call, verdict, result: { kind: "unanswered", code, message: "no answer" } };
    }
  }
}

/** What a call to an upstream that is down comes to. */
export function drawUnanswered(chance: Chance, seq: number, attempt: number): Report {
  const verdict = waiting("retry", chance);
  const call = { seq, attempt, tookMs: chance.between(1, 2_000), verdict };
  const body = answerBody(seq, attempt);
  if (chance.maybe(0.3)) {
    return { ...call, result: { kind: "answered", status: 503, requestId: "", body } };
  }
  const code = chance.pick<Unanswered>(["timeout", "connection_error", "truncated_response"]);
  return { ...call, result: { kind: "unanswered", code, message: "no answer" } };
}

/** The body of every answer names the attempt it answers. */
export function answerBody(seq: number, attempt: number): string {
  return `{"seq":${seq},"attempt":${attempt},"text":"é\\n"}`;
}

function waiting(kind: "retry" | "throttled", chance: Chance): Verdict {
  if (chance.maybe(0.5)) return { kind };
  const afterMs = chance.pick([0, 1, 250.5, 3_000, chance.between(0, 60_000)]);
  return { kind, afterMs };
}
