import { apiOf, matches } from "../../config/routes.ts";
import type { BatchObject } from "../../wire/batch.ts";
import type { UpstreamObject } from "../../wire/upstream.ts";
import { get } from "./api.ts";
import { number, span } from "./format.ts";
import { usePolled } from "./hooks.ts";
import { Figure, Problem, Title } from "./parts.tsx";

const load = async (signal: AbortSignal): Promise<UpstreamObject[]> =>
  (await get<{ data: UpstreamObject[] }>("/v1/upstreams", signal)).data;

/** The upstreams, as they stand; asked again while something runs. */
export function useUpstreams(open: boolean): UpstreamObject[] | undefined {
  return usePolled(load, [open], () => (open ? 2_000 : undefined)).value;
}

/** The upstreams that a batch's calls may go to; of one with several models, where it began. */
export function servingOf(
  upstreams: readonly UpstreamObject[],
  batch: BatchObject,
): UpstreamObject[] {
  const { model, endpoint, muster } = batch;
  return upstreams.filter(({ name, api, models }) =>
    model === null
      ? name === muster.upstream
      : api.includes(apiOf(endpoint)) && matches(models, model),
  );
}

/** Calls a second that a batch's upstreams take, where that is known: the first's, or a pool's sum. */
export function rateOf(
  upstreams: readonly UpstreamObject[] | undefined,
  batch: BatchObject,
): number | undefined {
  const serving = servingOf(upstreams ?? [], batch);
  const used = batch.muster.pool ? serving : serving.slice(0, 1);
  const rpms = used.map(({ quotas }) => (quotas.length === 1 ? quotas[0]?.in_force.rpm : null));
  const known = rpms.filter((rpm) => typeof rpm === "number");
  if (known.length === 0 || known.length < rpms.length) return undefined;
  return known.reduce((sum, rpm) => sum + rpm, 0) / 60;
}

/** Upstreams with their quotas: limits, calls in flight, cooldown. */
export function Quotas({ upstreams }: { upstreams: readonly UpstreamObject[] }) {
  return (
    <>
      {upstreams.map((upstream) => (
        <section key={upstream.name} class="upstream" aria-label={`Upstream ${upstream.name}`}>
          <h3>
            {upstream.name} <span class={`status ${upstream.health}`}>{upstream.health}</span>{" "}
            <span class="url soft">{upstream.base_url}</span>
          </h3>
          {upstream.quotas.map((quota) => {
            const { limits, learned, in_force } = quota;
            const rest = quota.cooldown_until;
            const down = quota.down_since;
            return (
              <dl key={quota.name} class="figures">
                <Figure name="Models">{quota.models.join(", ")}</Figure>
                <Figure name="Health">
                  <span class={`status ${quota.health}`}>{quota.health}</span>
                  {down === null && rest !== null && ` ${span(Date.parse(rest) - Date.now())}`}
                  {down !== null && ` for ${span(Date.now() - Date.parse(down))}`}
                </Figure>
                <Figure name="In flight">
                  {number(quota.in_flight)} of {number(limits.max_concurrency)}
                  <span class="level">
                    <span
                      style={{ width: `${(100 * quota.in_flight) / limits.max_concurrency}%` }}
                    />
                  </span>
                </Figure>
                <Figure name="Waiting">
                  {number(quota.waiting)} of {number(quota.batches)} batches
                </Figure>
                <Figure name="Requests a minute">
                  <Limit configured={limits.rpm} told={learned.rpm} taught={learned.pace_rpm} />
                </Figure>
                <Figure name="Tokens a minute">
                  <Limit configured={limits.tpm} told={learned.tpm} taught={null} />
                </Figure>
                {in_force.max_concurrency < limits.max_concurrency && (
                  <Figure name="Begins with">{number(in_force.max_concurrency)} at once</Figure>
                )}
                {quota.throttles > 0 && (
                  <Figure name="429s in a row">{number(quota.throttles)}</Figure>
                )}
              </dl>
            );
          })}
        </section>
      ))}
    </>
  );
}

/** A limit as it was configured, and as it was found out. */
function Limit(limit: { configured: number | null; told: number | null; taught: number | null }) {
  const { configured, told, taught } = limit;
  const found = [
    told === null ? "" : `${number(told)} by its headers`,
    taught === null ? "" : `${number(Math.round(taught))} by its 429s`,
  ].filter((text) => text !== "");
  if (configured === null && found.length === 0) return <>none known</>;
  const said = configured === null ? [] : [number(configured)];
  return <>{[...said, ...found].join(", ")}</>;
}

/** All upstreams of this Muster. */
export function Upstreams() {
  const { value, error } = usePolled(load, [], () => 2_000);
  return (
    <>
      <Title>Upstreams</Title>
      <Problem text={error} />
      {value?.length === 0 && (
        <p class="empty">No upstream yet. Set UPSTREAM_BASE_URL, or UPSTREAMS.</p>
      )}
      {value !== undefined && <Quotas upstreams={value} />}
    </>
  );
}
