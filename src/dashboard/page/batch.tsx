import { useRef } from "preact/hooks";
import type { BatchObject } from "../../wire/batch.ts";
import { get } from "./api.ts";
import { Charts } from "./chart.tsx";
import { Deliveries } from "./deliveries.tsx";
import { Figures } from "./figures.tsx";
import { usePolled } from "./hooks.ts";
import {
  Counts,
  isOpen,
  type Look,
  lookAt,
  Pace,
  Problem,
  ProgressBar,
  Status,
  Title,
} from "./parts.tsx";
import { Steering } from "./steering.tsx";
import { Tasks } from "./tasks.tsx";
import { Quotas, rateOf, servingOf, useUpstreams } from "./upstreams.tsx";

/** One batch: how it stands, over time, its tasks and its webhooks. */
export function BatchView({ id }: { id: string }) {
  const path = `/v1/batches/${encodeURIComponent(id)}`;
  const polled = usePolled(
    (signal) => get<BatchObject>(path, signal),
    [path],
    (batch) => (isOpen(batch) ? 1_000 : 10_000),
  );
  const { value: batch, error, again } = polled;
  const upstreams = useUpstreams(batch !== undefined && isOpen(batch));
  const first = useRef<Look | undefined>(undefined);
  if (batch === undefined) {
    return (
      <>
        <nav aria-label="Breadcrumb" class="crumbs">
          <a href="#/">Batches</a>
        </nav>
        <Title>
          <span class="id">{id}</span>
        </Title>
        {error === undefined ? <p class="hint">Loading…</p> : <Problem text={error} />}
      </>
    );
  }
  const open = isOpen(batch);
  first.current ??= lookAt(batch);
  return (
    <>
      <nav aria-label="Breadcrumb" class="crumbs">
        <a href="#/">Batches</a>
      </nav>
      <Title>
        <span class="id">{batch.id}</span> <Status batch={batch} />
      </Title>
      <Problem text={error} />
      <ProgressBar batch={batch} />
      <p class="second">
        <Counts batch={batch} />
        <Pace batch={batch} since={first.current} />
      </p>
      <p class="hidden" aria-live="polite">
        {batch.muster.paused ? "paused" : batch.status.replace("_", " ")}
      </p>
      <Steering batch={batch} path={path} again={again} />
      <Errors batch={batch} />
      <Figures batch={batch} />
      <section aria-labelledby="over-time">
        <h2 id="over-time">Over time</h2>
        <Charts id={encodeURIComponent(id)} open={open} limit={rateOf(upstreams, batch)} />
      </section>
      {open && upstreams !== undefined && (
        <section aria-labelledby="limiter">
          <h2 id="limiter">Limits, as they stand</h2>
          <Quotas upstreams={servingOf(upstreams, batch)} />
        </section>
      )}
      <Tasks path={path} endpoint={batch.endpoint} total={batch.request_counts.total} open={open} />
      <Deliveries path={path} />
    </>
  );
}

function Errors({ batch }: { batch: BatchObject }) {
  const errors = batch.errors?.data ?? [];
  if (errors.length === 0) return null;
  return (
    <section class="error" aria-label="Why it failed">
      <ul>
        {errors.map(({ line, message, param }, index) => (
          <li key={`${index} ${line}`}>
            {line !== null && <b>Line {line}: </b>}
            {message} {param !== null && <code>{param}</code>}
          </li>
        ))}
      </ul>
    </section>
  );
}
