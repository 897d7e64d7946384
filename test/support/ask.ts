import type { AcquireRequest } from "../../src/limiter/acquire.ts";

/** A batch's ask for `want` calls of ten tokens each that tells nothing but `rest`. */
export function askFor(
  batch_id: string,
  want: number,
  rest: Partial<AcquireRequest> = {},
): AcquireRequest {
  return {
    quota: "default",
    ref: { project: "default", batch_id },
    held: 0,
    weight: 10,
    costs: Array.from({ length: want }, () => 10),
    ready: 0,
    served: true,
    extraTokens: 0,
    answered: false,
    ...rest,
  };
}
