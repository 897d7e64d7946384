import { useRef, useState } from "preact/hooks";
import type { BatchObject, BatchStatus } from "../../wire/batch.ts";
import { get } from "./api.ts";
import { age, number, pace, rate, span } from "./format.ts";
import { usePolled, useSettled } from "./hooks.ts";
import { Counts, doneOf, isOpen, Problem, ProgressBar, Status, Title } from "./parts.tsx";

interface BatchPage {
  data: BatchObject[];
  last_id: string | null;
  has_more: boolean;
}

const STATUSES: readonly BatchStatus[] = [
  "validating",
  "in_progress",
  "finalizing",
  "completed",
  "failed",
  "expired",
  "cancelling",
  "cancelled",
];
const PAGE = 25;

/** The project's batches, live. */
export function Batches() {
  const [status, setStatus] = useState("");
  const [typed, setTyped] = useState("");
  const [size, setSize] = useState(PAGE);
  const search = useSettled(typed.trim(), 250);
  const seen = useRef(new Map<string, { atMs: number; done: number }>());
  const { value, error } = usePolled(
    (signal) => load({ status, search, size }, signal),
    [status, search, size],
    ({ data }) => (data.some(isOpen) ? 1_000 : 5_000),
  );
  const filtered = status !== "" || search !== "";
  return (
    <>
      <Title>Batches</Title>
      <search>
        <form class="filters" onSubmit={(event) => event.preventDefault()}>
          <label>
            Status{" "}
            <select value={status} onChange={(event) => setStatus(event.currentTarget.value)}>
              <option value="">all</option>
              {STATUSES.map((name) => (
                <option key={name} value={name}>
                  {name.replace("_", " ")}
                </option>
              ))}
            </select>
          </label>
          <label class="grow">
            Search{" "}
            <input
              type="search"
              placeholder="id, model or metadata"
              value={typed}
              onInput={(event) => setTyped(event.currentTarget.value)}
            />
          </label>
          <a class="button main" href="#/new">
            New batch
          </a>
        </form>
      </search>
      <Problem text={error} />
      {value === undefined && error === undefined && <p class="hint">Loading…</p>}
      {value !== undefined && value.data.length === 0 && (
        <p class="empty">
          {filtered ? "No batch is like that." : "No batches yet. "}
          {!filtered && <a href="#/new">Open the first one.</a>}
        </p>
      )}
      <ul class="batches" aria-label="Batches, the newest first">
        {value?.data.map((batch) => (
          <Row key={batch.id} batch={batch} seen={seen.current} />
        ))}
      </ul>
      {value?.has_more && (
        <button type="button" onClick={() => setSize(size + PAGE)}>
          Show more
        </button>
      )}
    </>
  );
}

function Row({
  batch,
  seen,
}: {
  batch: BatchObject;
  seen: Map<string, { atMs: number; done: number }>;
}) {
  const open = isOpen(batch);
  const now = { atMs: Date.now(), done: doneOf(batch), total: batch.request_counts.total };
  const { perSecond, leftMs } = pace(seen.get(batch.id), now);
  if (open && !seen.has(batch.id)) seen.set(batch.id, now);
  return (
    <li>
      <a href={`#/batches/${encodeURIComponent(batch.id)}`} class="row">
        <span class="first">
          <span class="id">{batch.id}</span>
          <Status batch={batch} />
          <span class="model">{batch.model ?? batch.endpoint}</span>
          <span class="age">{age(Date.now() - batch.created_at * 1000)} ago</span>
        </span>
        <ProgressBar batch={batch} />
        <span class="second">
          <Counts batch={batch} />
          <span class="pace">
            {number(doneOf(batch))}/{number(batch.request_counts.total)}
            {open && perSecond !== undefined && ` · ${rate(perSecond)}`}
            {open && leftMs !== undefined && ` · ${span(leftMs)} left`}
          </span>
        </span>
      </a>
    </li>
  );
}

/** The first `size` batches that match. */
async function load(
  { status, search, size }: { status: string; search: string; size: number },
  signal: AbortSignal,
): Promise<BatchPage> {
  const data: BatchObject[] = [];
  let after: string | null = null;
  for (;;) {
    const query = new URLSearchParams({ limit: String(Math.min(100, size - data.length)) });
    if (status !== "") query.set("status", status);
    if (search !== "") query.set("search", search);
    if (after !== null) query.set("after", after);
    const page: BatchPage = await get(`/v1/batches?${query}`, signal);
    data.push(...page.data);
    after = page.last_id;
    if (!page.has_more || data.length >= size) return { ...page, data };
  }
}
