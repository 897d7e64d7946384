import { useRef, useState } from "preact/hooks";
import type { BatchObject, BatchStatus } from "../../wire/batch.ts";
import { get } from "./api.ts";
import { Filters, useFilter } from "./filters.tsx";
import { age } from "./format.ts";
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
  const filter = useFilter();
  const { choice: status, search } = filter;
  const [size, setSize] = useState(PAGE);
  const seen = useRef(new Map<string, Look>());
  const { value, error } = usePolled(
    (signal) => load({ status, search, size }, signal),
    [status, search, size],
    ({ data }) => (data.some(isOpen) ? 1_000 : 5_000),
  );
  const filtered = status !== "" || search !== "";
  return (
    <>
      <Title>Batches</Title>
      <Filters filter={filter} name="Status" choices={STATUSES} hint="id, model or metadata">
        <a class="button main" href="#/new">
          New batch
        </a>
      </Filters>
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

function Row({ batch, seen }: { batch: BatchObject; seen: Map<string, Look> }) {
  const open = isOpen(batch);
  if (open && !seen.has(batch.id)) seen.set(batch.id, lookAt(batch));
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
          <Pace batch={batch} since={seen.get(batch.id)} />
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
