import type { Project } from "../project/project.ts";
import type { Addition } from "../project/quotas.ts";
import { ok, type Result } from "../wire/errors.ts";
import type { Quotas } from "../wire/quota.ts";

/**
 * Whether a project has room for what is about to be taken in, before its bytes are. Costs nothing
 * where there is no quota; what is made is held against the quotas again, in the transaction. Not to
 * be asked for a request that may be answered with what there is: that takes no room.
 */
export async function hasRoom(
  project: DurableObjectStub<Project>,
  more: Addition,
  quotas: Quotas,
): Promise<Result<null>> {
  const { openBatches, waitingTasks, storedBytes } = quotas;
  if (openBatches === null && waitingTasks === null && storedBytes === null) return ok(null);
  return project.checkQuotas(more, quotas);
}
