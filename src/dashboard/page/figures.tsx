import type { BatchObject } from "../../wire/batch.ts";
import { age, dollars, number, short, span } from "./format.ts";
import { Figure } from "./parts.tsx";

/** What a batch was asked to do, and what it took so far. */
export function Figures({ batch }: { batch: BatchObject }) {
  const { usage, muster } = batch;
  const { budget } = muster;
  const began = batch.in_progress_at;
  const ended = batch.completed_at ?? batch.expired_at ?? batch.cancelled_at ?? batch.failed_at;
  const tookMs = began === null ? undefined : ((ended ?? Date.now() / 1000) - began) * 1000;
  return (
    <dl class="figures">
      <Figure name="Model">{batch.model ?? "several"}</Figure>
      <Figure name="Endpoint">{batch.endpoint}</Figure>
      <Figure name="Opened">{age(Date.now() - batch.created_at * 1000)} ago</Figure>
      {tookMs !== undefined && (
        <Figure name={ended === null ? "Runs for" : "Took"}>{span(tookMs)}</Figure>
      )}
      <Figure name="Tokens in">
        {short(usage.input_tokens)}
        {usage.input_tokens_details.cached_tokens > 0 &&
          ` (${short(usage.input_tokens_details.cached_tokens)} cached)`}
      </Figure>
      <Figure name="Tokens out">{short(usage.output_tokens)}</Figure>
      {budget.spent_cost !== null && (
        <Figure name="Cost">
          {dollars(budget.spent_cost)}
          {budget.max_cost !== null && ` of ${dollars(budget.max_cost)}`}
        </Figure>
      )}
      {budget.max_tokens_total !== null && (
        <Figure name="Token budget">
          {short(budget.spent_tokens)} of {short(budget.max_tokens_total)}
        </Figure>
      )}
      {budget.stopped > 0 && <Figure name="Stopped for budget">{number(budget.stopped)}</Figure>}
      <Figure name="Calls at once">{muster.max_concurrency ?? "as the upstream allows"}</Figure>
      {muster.pool && <Figure name="Upstreams">all at once</Figure>}
      {muster.twins > 0 && <Figure name="Share a call">{number(muster.twins)}</Figure>}
      <Figure name="Priority">{muster.priority}</Figure>
      {muster.run > 1 && <Figure name="Run">{muster.run}</Figure>}
      {Object.entries(batch.metadata ?? {}).map(([name, value]) => (
        <Figure key={name} name={name}>
          {value}
        </Figure>
      ))}
    </dl>
  );
}
