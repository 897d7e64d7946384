import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import type { TimelineObject } from "../../wire/task.ts";
import { get } from "./api.ts";
import { span } from "./format.ts";
import { usePolled } from "./hooks.ts";
import { Moments, type Point } from "./moments.ts";

const HEIGHT = 190;

/** Calls a second, with 429s and retries, and latency percentiles, over time. */
export function Charts({
  id,
  open,
  limit,
}: {
  id: string;
  open: boolean;
  limit?: number | undefined;
}) {
  const gathered = useRef({ moments: new Moments(), after: "0-0" });
  const { value } = usePolled(
    async (signal) => {
      const { moments } = gathered.current;
      for (;;) {
        const path = `/v1/batches/${id}/timeline?after=${gathered.current.after}`;
        const part = await get<TimelineObject>(path, signal);
        moments.add(part);
        gathered.current.after = part.next_after;
        if (!part.has_more) return { points: moments.points(), stepMs: moments.stepMs };
      }
    },
    [id, open],
    () => (open ? 1_500 : undefined),
  );
  const points = value?.points ?? [];
  if (points.length === 0) return <p class="hint">Nothing has been called yet.</p>;
  return (
    <div class="charts">
      <Plot
        name="Calls a second"
        told={tellCalls(points, limit)}
        points={points}
        lines={[
          { name: "succeeded", colour: "--good", read: (point) => point.succeeded, fill: true },
          { name: "failed", colour: "--bad", read: (point) => some(point.failed), dots: true },
          { name: "429", colour: "--warn", read: (point) => some(point.throttled), dots: true },
          { name: "retried", colour: "--busy", read: (point) => some(point.retried), dots: true },
          ...(limit === undefined
            ? []
            : [{ name: "limit", colour: "--line-strong", read: () => limit, dash: true }]),
        ]}
        format={(value) => `${value >= 10 ? Math.round(value) : Math.round(value * 10) / 10}`}
      />
      <Plot
        name="Latency"
        told={tellLatency(points)}
        points={points}
        lines={[
          { name: "p50", colour: "--good", read: (point) => point.p50 },
          { name: "p90", colour: "--busy", read: (point) => point.p90 },
          { name: "p99", colour: "--bad", read: (point) => point.p99 },
        ]}
        format={(value) => span(value)}
      />
    </div>
  );
}

const some = (value: number) => (value > 0 ? value : undefined);

/** The chart in words, for who can't see it. */
function tellCalls(points: readonly Point[], limit: number | undefined): string {
  const most = Math.max(...points.map((point) => point.succeeded + point.failed));
  const held = points.filter((point) => point.throttled > 0).length;
  const bound = limit === undefined ? "" : `, the limit is ${Math.round(limit)}`;
  return `At most ${Math.round(most)} calls a second${bound}; 429s in ${held} of ${points.length} steps.`;
}

function tellLatency(points: readonly Point[]): string {
  const last = points.findLast((point) => point.p50 !== undefined);
  if (last?.p50 === undefined) return "No latencies yet.";
  return `Last: half of the calls within ${span(last.p50)}, 99 % within ${span(last.p99 ?? last.p50)}.`;
}

interface Line {
  name: string;
  /** A variable of the style sheet. */
  colour: string;
  read: (point: Point) => number | undefined;
  fill?: boolean;
  dots?: boolean;
  dash?: boolean;
}

function Plot({
  name,
  told,
  points,
  lines,
  format,
}: {
  name: string;
  told: string;
  points: readonly Point[];
  lines: readonly Line[];
  format: (value: number) => string;
}) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const theme = useTheme();
  const shape = `${lines.map((line) => line.name).join()} ${theme}`;
  const data: uPlot.AlignedData = [
    points.map(({ at }) => at),
    ...lines.map((line) => points.map((point) => line.read(point) ?? null)),
  ];

  useEffect(() => {
    const element = place.current;
    if (element === null) return undefined;
    const style = getComputedStyle(document.documentElement);
    const colour = (variable: string) => style.getPropertyValue(variable).trim();
    const axis = {
      stroke: colour("--soft"),
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { stroke: colour("--line"), width: 1 },
      font: "12px system-ui, sans-serif",
    };
    const drawn = new uPlot(
      {
        width: element.clientWidth,
        height: HEIGHT,
        legend: { live: true },
        // Room for the last time under the right end.
        padding: [null, 30, null, null],
        cursor: { y: false },
        scales: { y: { range: (_, __, max) => [0, Math.max(1, (max ?? 1) * 1.08)] } },
        axes: [
          { ...axis, space: 90, values: (_, ticks) => ticks.map(clock) },
          { ...axis, size: 64, values: (_, ticks) => ticks.map((tick) => format(tick)) },
        ],
        series: [
          { label: "time", value: (_, at) => (at === null ? "–" : clock(at)) },
          ...lines.map(
            (line): uPlot.Series => ({
              label: line.name,
              stroke: colour(line.colour),
              width: line.dots ? 0 : 1.5,
              ...(line.fill ? { fill: `${colour(line.colour)}33` } : {}),
              ...(line.dash ? { dash: [6, 5] } : {}),
              points: line.dots
                ? { show: true, size: 6, fill: colour(line.colour) }
                : { show: points.length < 3 },
              spanGaps: !line.dots,
              value: (_, value) => (value === null ? "–" : format(value)),
            }),
          ),
        ],
      },
      data,
      element,
    );
    plot.current = drawn;
    const fit = new ResizeObserver(() =>
      drawn.setSize({ width: element.clientWidth, height: HEIGHT }),
    );
    fit.observe(element);
    return () => {
      fit.disconnect();
      drawn.destroy();
    };
  }, [shape]);
  useEffect(() => plot.current?.setData(data));
  return (
    <figure>
      <figcaption>
        {name} <span class="hidden">{told}</span>
      </figcaption>
      <div ref={place} class="plot" aria-hidden="true" />
    </figure>
  );
}

/** 23:59:01, out of Unix seconds. */
function clock(at: number): string {
  return new Date(at * 1000).toLocaleTimeString("en", { hour12: false });
}

/** "dark" or "light"; charts are painted anew when it changes. */
function useTheme(): string {
  const query = matchMedia("(prefers-color-scheme: dark)");
  const [dark, setDark] = useState(query.matches);
  useEffect(() => {
    const changed = () => setDark(query.matches);
    query.addEventListener("change", changed);
    return () => query.removeEventListener("change", changed);
  }, [query]);
  return dark ? "dark" : "light";
}
