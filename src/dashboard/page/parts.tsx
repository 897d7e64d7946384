import type { ComponentChildren } from "preact";
import type { BatchObject } from "../../wire/batch.ts";
import { number, pace, rate, span } from "./format.ts";

/** The heading of a view; it takes the focus when the view opens. */
export function Title({ children }: { children: ComponentChildren }) {
  return <h1 tabIndex={-1}>{children}</h1>;
}

/** Says what went wrong; read out at once. */
export function Problem({ text }: { text: string | undefined }) {
  return text === undefined ? null : (
    <p role="alert" class="error">
      {text}
    </p>
  );
}

/** How far a batch is, in colours and in words. */
export function ProgressBar({ batch }: { batch: BatchObject }) {
  const { succeeded, failed, cancelled, expired, running } = batch.muster.counts;
  const total = Math.max(1, batch.request_counts.total);
  const parts = [
    ["succeeded", succeeded],
    ["failed", failed + cancelled + expired],
    ["running", running],
  ] as const;
  const done = succeeded + failed + cancelled + expired;
  return (
    <div
      class="bar"
      role="progressbar"
      aria-label="Finished tasks"
      aria-valuemin={0}
      aria-valuemax={batch.request_counts.total}
      aria-valuenow={done}
      aria-valuetext={`${number(done)} of ${number(batch.request_counts.total)}`}
    >
      {parts.map(([name, count]) => (
        <span key={name} class={name} style={{ width: `${(100 * count) / total}%` }} />
      ))}
    </div>
  );
}

/** A batch's status as a word. */
export function Status({ batch }: { batch: BatchObject }) {
  const name = batch.muster.paused ? "paused" : batch.status;
  return <span class={`status ${name}`}>{name.replace("_", " ")}</span>;
}

/** Counts, those that are not zero. */
export function Counts({ batch }: { batch: BatchObject }) {
  const { succeeded, failed, cancelled, expired, running, pending } = batch.muster.counts;
  const all = { succeeded, failed, cancelled, expired, running, waiting: pending };
  return (
    <span class="counts">
      {Object.entries(all)
        .filter(([, count]) => count > 0)
        .map(([name, count]) => (
          <span key={name} class={name}>
            <b>{number(count)}</b> {name}
          </span>
        ))}
    </span>
  );
}

/** How far a batch was when it was looked at. */
export interface Look {
  atMs: number;
  done: number;
}

/** A look at a batch, now. */
export function lookAt(batch: BatchObject): Look {
  return { atMs: Date.now(), done: doneOf(batch) };
}

/** How many are done, and while it runs how fast since an earlier look and how long it will take. */
export function Pace({ batch, since }: { batch: BatchObject; since: Look | undefined }) {
  const { total } = batch.request_counts;
  const { perSecond, leftMs } = pace(since, { ...lookAt(batch), total });
  const open = isOpen(batch);
  return (
    <span class="pace">
      {number(doneOf(batch))}/{number(total)}
      {open && perSecond !== undefined && ` · ${rate(perSecond)}`}
      {open && leftMs !== undefined && ` · ${span(leftMs)} left`}
    </span>
  );
}

/** A figure with its name. */
export function Figure({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div class="figure">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** Whether a batch still changes by itself. */
export function isOpen({ status }: BatchObject): boolean {
  return /^(validating|in_progress|finalizing|cancelling)$/.test(status);
}

/** Tasks of a batch that have their outcome. */
export function doneOf({ muster: { counts } }: BatchObject): number {
  return counts.succeeded + counts.failed + counts.cancelled + counts.expired;
}
