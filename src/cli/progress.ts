import { SingleBar } from "cli-progress";
import type { TaskCounts } from "../wire/batch.ts";

/** Shows how far a batch is. */
export interface Progress {
  update(counts: TaskCounts): void;
  stop(): void;
}

const LINE_EVERY_MS = 2_000;

/**
 * A bar that moves on a terminal; elsewhere a line now and then. Time runs from this call.
 *
 * @param before tasks that were done by then, and tell nothing of the rate.
 */
export function showProgress(total: number, stream: NodeJS.WriteStream, before = 0): Progress {
  const startedAt = performance.now();
  const tell = (counts: TaskCounts) =>
    describe(counts, { total, before, elapsedMs: performance.now() - startedAt });
  return stream.isTTY ? bar(total, stream, tell) : lines(stream, tell);
}

/** Tasks that have their outcome. */
export function doneOf(counts: TaskCounts): number {
  return counts.succeeded + counts.failed + counts.cancelled + counts.expired;
}

/**
 * Counts, rate and time left as one line; at the end, the time it took.
 *
 * @param seen how many there are, how many were done at the first look, and the time since.
 */
export function describe(
  counts: TaskCounts,
  { total, before, elapsedMs }: { total: number; before: number; elapsedMs: number },
): string {
  const done = doneOf(counts);
  const since = done - before;
  const perSecond = since / Math.max(elapsedMs / 1000, 0.001);
  const left = since === 0 ? "–" : `${Math.ceil((total - done) / perSecond)} s`;
  const time = done === total ? `${(elapsedMs / 1000).toFixed(1)} s` : `${left} left`;
  return [
    `${done}/${total}`,
    `${counts.succeeded} succeeded`,
    `${done - counts.succeeded} failed`,
    `${Math.round(perSecond)}/s`,
    time,
  ].join("  ");
}

function bar(
  total: number,
  stream: NodeJS.WriteStream,
  tell: (counts: TaskCounts) => string,
): Progress {
  const drawn = new SingleBar({
    stream,
    format: "  {bar}  {told}",
    barCompleteChar: "█",
    barIncompleteChar: "░",
    barsize: 28,
    hideCursor: true,
    // The command listens to the signals itself.
    gracefulExit: false,
  });
  drawn.start(total, 0, { told: "" });
  return {
    update: (counts) => drawn.update(doneOf(counts), { told: tell(counts) }),
    stop: () => drawn.stop(),
  };
}

function lines(stream: NodeJS.WriteStream, tell: (counts: TaskCounts) => string): Progress {
  let toldAt = performance.now();
  let last: string | undefined;
  const say = (line: string) => stream.write(`  ${line}\n`);
  return {
    update(counts) {
      last = tell(counts);
      if (performance.now() - toldAt < LINE_EVERY_MS) return;
      toldAt = performance.now();
      say(last);
      last = undefined;
    },
    stop() {
      if (last !== undefined) say(last);
      last = undefined;
    },
  };
}
