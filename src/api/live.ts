import type { NewsReply, NewsRequest } from "../batch/listening.ts";
import type { NewsRow } from "../batch/store/news.ts";
import { type BatchObject, type Endpoint, hasEnded } from "../wire/batch.ts";
import type { Result } from "../wire/errors.ts";
import { type LiveProgress, type LiveTask, type LiveTasks, liveTask } from "../wire/live.ts";
import { failureOf, successOf } from "./entries.ts";

/** What a listener listens to, and in which world. */
export interface LiveOptions {
  /** Names it. */
  listener: string;
  /** What it was told first, when it came. */
  first: NewsReply;
  tasks: LiveTasks;
  /** How often it may ask: a Worker's invocation has a number of subrequests. */
  asks: number;
  ask(request: NewsRequest): Promise<Result<NewsReply>>;
  sleep(ms: number): Promise<void>;
  nowMs(): number;
}

/** A client that lost the stream comes back after this long. */
const RECONNECT_MS = 2_000;
/** A stream in which nothing happens says so, for proxies that close silent ones. */
const HEARTBEAT_MS = 15_000;
/** Progress is told this often at most. */
const PROGRESS_MS = 1_000;
/** A batch without a call in flight is looked at this often, and sleeps between two looks. */
const ASLEEP_MS = 2_000;

/**
 * A batch's events as the text of an event stream, until its end, or until the asks are used up: the
 * client comes back then, and goes on where it was. Asks only when the client has read what it got.
 */
export async function* liveEvents(options: LiveOptions): AsyncGenerator<string> {
  const { listener, tasks, ask, sleep, nowMs } = options;
  let reply: Result<NewsReply> | undefined = { ok: true, value: options.first };
  let status = "";
  let progress = "";
  let progressAtMs = Number.NEGATIVE_INFINITY;
  let saidAtMs = nowMs();
  yield `retry: ${RECONNECT_MS}\n\n`;
  for (let asks = options.asks; reply?.ok; asks -= 1) {
    const told: NewsReply = reply.value;
    const { batch, etag, rows, more, last, asleep, restMs } = told;
    const ended = hasEnded(batch.status) && !more;
    const after = more ? (rows.at(-1)?.place ?? last) : last;

    let text = "";
    const newStatus = `${batch.status} ${batch.muster.paused} ${batch.muster.run}`;
    if (newStatus !== status) text += event("status", batch);
    status = newStatus;
    for (const row of rows) text += event("task", taskOf(batch.endpoint, row), row.place);
    const newProgress = JSON.stringify(progressOf(batch));
    const dueMs = progressAtMs + PROGRESS_MS - nowMs();
    // The figures of the end come before it, whoever was told them already.
    if (ended || (newProgress !== progress && !more && dueMs <= 0)) {
      text += event("progress", progressOf(batch));
      progress = newProgress;
      progressAtMs = nowMs();
    }
    if (ended) {
      yield text + event("end", batch, last);
      return;
    }
    if (text === "" && nowMs() - saidAtMs >= HEARTBEAT_MS) text = ": nothing new\n\n";
    if (text !== "") {
      saidAtMs = nowMs();
      yield text;
    }
    if (asks <= 0) return;
    await sleep(asleep && !more ? Math.max(ASLEEP_MS, restMs) : restMs);
    const silentMs = Math.max(0, saidAtMs + HEARTBEAT_MS - nowMs());
    const untoldMs = newProgress === progress ? silentMs : Math.max(0, dueMs);
    // A batch that is awake anyway answers as soon as something happens.
    const waitMs = asleep ? 0 : Math.min(silentMs, untoldMs);
    // Refused once the batch is deleted, and thrown when its object is lost under us (a deploy, an
    // eviction). The stream ends then, and the client comes back to a 404 or to the rest.
    reply = await ask({ listener, after, tasks, etag, waitMs }).catch(() => undefined);
  }
}

function event(name: string, data: object, id?: number): string {
  // JSON on one line: the only line breaks that would end the data are escaped in it.
  const place = id === undefined ? "" : `id: ${id}\n`;
  return `${place}event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

function taskOf(endpoint: Endpoint, row: NewsRow): LiveTask {
  const { custom_id, seq, state, took_ms, recorded_at, line } = row;
  const told: LiveTask = {
    task_id: custom_id,
    index: seq,
    state: liveTask.shape.state.parse(state),
    retry: row.retry === 1,
    latency_ms: took_ms,
    recorded_at: new Date(recorded_at).toISOString(),
  };
  if (line === null) return told;
  const result =
    row.ok === 1 ? successOf(endpoint, { line }) : failureOf({ line, retry: row.retry });
  return { ...told, result };
}

function progressOf({ request_counts, muster, usage }: BatchObject): LiveProgress {
  return { total: request_counts.total, counts: muster.counts, usage };
}
