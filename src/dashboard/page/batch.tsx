import { useRef, useState } from "preact/hooks";
import type { BatchObject } from "../../wire/batch.ts";
import { get, messageOf, send } from "./api.ts";
import { Charts } from "./chart.tsx";
import { Deliveries } from "./deliveries.tsx";
import { type DownloadFormat, download } from "./download.ts";
import { age, dollars, number, pace, rate, short, span } from "./format.ts";
import { usePolled } from "./hooks.ts";
import { Counts, doneOf, Figure, isOpen, Problem, ProgressBar, Status, Title } from "./parts.tsx";
import { Tasks } from "./tasks.tsx";
import { limitOf, Quotas, useUpstreams } from "./upstreams.tsx";

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
  const first = useRef<{ atMs: number; done: number } | undefined>(undefined);
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
  const now = { atMs: Date.now(), done: doneOf(batch), total: batch.request_counts.total };
  first.current ??= now;
  const { perSecond, leftMs } = pace(first.current, now);
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
        <span class="pace">
          {number(doneOf(batch))}/{number(batch.request_counts.total)}
          {open && perSecond !== undefined && ` · ${rate(perSecond)}`}
          {open && leftMs !== undefined && ` · ${span(leftMs)} left`}
        </span>
      </p>
      <p class="hidden" aria-live="polite">
        {batch.muster.paused ? "paused" : batch.status.replace("_", " ")}
      </p>
      <Steering batch={batch} path={path} again={again} />
      <Errors batch={batch} />
      <Figures batch={batch} />
      <section aria-labelledby="over-time">
        <h2 id="over-time">Over time</h2>
        <Charts id={encodeURIComponent(id)} open={open} limit={limitOf(upstreams, batch)} />
      </section>
      {open && upstreams !== undefined && (
        <section aria-labelledby="limiter">
          <h2 id="limiter">Limits, as they stand</h2>
          <Quotas upstreams={upstreams.filter(({ name }) => name === batch.muster.upstream)} />
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

function Figures({ batch }: { batch: BatchObject }) {
  const { usage, muster } = batch;
  const budget = "budget" in muster ? (muster.budget as Budget | null) : null;
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
      {typeof budget?.spent_cost === "number" && (
        <Figure name="Cost">
          {dollars(budget.spent_cost)}
          {typeof budget.max_cost === "number" && ` of ${dollars(budget.max_cost)}`}
        </Figure>
      )}
      {typeof budget?.max_tokens_total === "number" && (
        <Figure name="Token budget">{short(budget.max_tokens_total)}</Figure>
      )}
      <Figure name="Calls at once">{muster.max_concurrency ?? "as the upstream allows"}</Figure>
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

/** What a batch may spend and has spent; absent where no prices and no budget are set. */
interface Budget {
  max_tokens_total?: number | null;
  max_cost?: number | null;
  spent_cost?: number | null;
}

function Steering({ batch, path, again }: { batch: BatchObject; path: string; again: () => void }) {
  const [busy, setBusy] = useState<string>();
  const [error, setError] = useState<string>();
  const [concurrency, setConcurrency] = useState(String(batch.muster.max_concurrency ?? ""));
  const act = async (name: string, work: () => Promise<unknown>) => {
    setBusy(name);
    setError(undefined);
    try {
      await work();
    } catch (failure) {
      setError(messageOf(failure));
    }
    setBusy(undefined);
    again();
  };
  const steer = (name: string) => act(name, () => send("POST", `${path}/${name}`));
  const change = (event: Event) => {
    event.preventDefault();
    const text = concurrency.trim();
    const max_concurrency = text === "" ? null : Number(text);
    void act("change", () => send("PATCH", path, { max_concurrency }));
  };
  const running = batch.status === "in_progress" || batch.status === "validating";
  const { failed, cancelled, expired } = batch.muster.counts;
  const again_ = failed + cancelled + expired > 0 && !isOpen(batch) && batch.status !== "failed";
  const save = (format: DownloadFormat) =>
    act(`download ${format}`, () => download(path, batch, format));
  return (
    <div class="steering">
      {running && !batch.muster.paused && (
        <button type="button" disabled={busy !== undefined} onClick={() => steer("pause")}>
          Pause
        </button>
      )}
      {running && batch.muster.paused && (
        <button
          type="button"
          class="main"
          disabled={busy !== undefined}
          onClick={() => steer("resume")}
        >
          Resume
        </button>
      )}
      {running && (
        <button
          type="button"
          class="danger"
          disabled={busy !== undefined}
          onClick={() => steer("cancel")}
        >
          Cancel
        </button>
      )}
      {again_ && (
        <button
          type="button"
          class="main"
          disabled={busy !== undefined}
          onClick={() => steer("retry")}
        >
          Retry {number(failed + cancelled + expired)} failed
        </button>
      )}
      {running && (
        <form class="inline" onSubmit={change}>
          <label>
            Calls at once{" "}
            <input
              type="number"
              min={1}
              max={10_000}
              placeholder="no limit"
              value={concurrency}
              onInput={(event) => setConcurrency(event.currentTarget.value)}
            />
          </label>
          <button type="submit" disabled={busy !== undefined}>
            Set
          </button>
        </form>
      )}
      <fieldset class="downloads">
        <legend class="hidden">Download the results</legend>
        <span aria-hidden="true">Download</span>
        {(["jsonl", "json", "csv"] as const).map((format) => (
          <button
            key={format}
            type="button"
            aria-label={`Download ${format.toUpperCase()}`}
            disabled={busy !== undefined}
            onClick={() => save(format)}
          >
            {format.toUpperCase()}
          </button>
        ))}
      </fieldset>
      <Problem text={error} />
    </div>
  );
}
