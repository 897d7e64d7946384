import type { BatchObject } from "../../wire/batch.ts";
import { get, Refused } from "./api.ts";
import { usePolled } from "./hooks.ts";
import { Problem, Title } from "./parts.tsx";

export interface Upstream {
  name: string;
}

export function useUpstreams(open: boolean): Upstream[] | undefined {
  const { value } = usePolled(load, [open], () => (open ? 2_000 : undefined));
  return value;
}

async function load(signal: AbortSignal): Promise<Upstream[]> {
  try {
    return (await get<{ data: Upstream[] }>("/v1/upstreams", signal)).data;
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return [];
    throw error;
  }
}

export function limitOf(
  _upstreams: readonly Upstream[] | undefined,
  _batch: BatchObject,
): number | undefined {
  return undefined;
}

export function Quotas({ upstreams }: { upstreams: readonly Upstream[] }) {
  return (
    <ul>
      {upstreams.map(({ name }) => (
        <li key={name}>{name}</li>
      ))}
    </ul>
  );
}

export function Upstreams() {
  const { value, error } = usePolled(load, [], () => 2_000);
  return (
    <>
      <Title>Upstreams</Title>
      <Problem text={error} />
      {value !== undefined && <Quotas upstreams={value} />}
    </>
  );
}
