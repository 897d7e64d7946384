import type { BatchCheck } from "../../wire/check.ts";
import { dollars, number, short, span } from "./format.ts";
import { Figure } from "./parts.tsx";

/** What a dry run says: what is wrong, and what the batch would come to. */
export function Estimate({ check }: { check: BatchCheck }) {
  const { estimate, errors } = check;
  const unbounded = estimate.output_tokens_at_most === null;
  return (
    <section id="estimate" aria-label="Estimate" role="status">
      {errors.total > 0 && (
        <ul class="error">
          {errors.data.slice(0, 20).map(({ line, message, param }) => (
            <li key={`${line} ${param} ${message}`}>
              {line !== null && <b>Line {number(line)}: </b>}
              {message}
            </li>
          ))}
          {errors.total > 20 && <li>and {number(errors.total - 20)} more</li>}
        </ul>
      )}
      <dl class="figures">
        <Figure name="Right tasks">{number(check.tasks)}</Figure>
        <Figure name="Tokens in">{short(estimate.input_tokens)}</Figure>
        <Figure name={unbounded ? "Tokens out, assumed" : "Tokens out, at most"}>
          {short(estimate.output_tokens_assumed)}
        </Figure>
        {estimate.cost_assumed !== null && (
          <Figure name={unbounded ? "Cost, assumed" : "Cost, at most"}>
            {dollars(estimate.cost_assumed)}
          </Figure>
        )}
        <Figure name="Time, at least">{span(estimate.finish_seconds * 1000)}</Figure>
        {estimate.finish_seconds_behind_others > estimate.finish_seconds && (
          <Figure name="Behind all that waits">
            {span(estimate.finish_seconds_behind_others * 1000)}
          </Figure>
        )}
        <Figure name="Held by">{estimate.bound_by}</Figure>
      </dl>
    </section>
  );
}
