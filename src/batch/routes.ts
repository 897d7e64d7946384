import { type Route, routesOf } from "../config/routes.ts";
import type { Upstream } from "../config/upstreams.ts";
import type { Sql } from "../core/sql.ts";
import type { BatchRow } from "./schema.ts";
import { firstModel } from "./store/intake.ts";

type Asked = Pick<BatchRow, "model" | "pool" | "endpoint">;

/** The routes of a batch's calls, in the order of the configuration. */
export class BatchRoutes {
  readonly #sql: Sql;
  readonly #upstreams: readonly Upstream[];
  #firstModel: string | undefined;
  #known: (Omit<Asked, "endpoint"> & { list: readonly Route[] }) | undefined;

  constructor(sql: Sql, upstreams: readonly Upstream[]) {
    this.#sql = sql;
    this.#upstreams = upstreams;
  }

  /** The same list as long as it is of the same routes; none when nobody serves the batch any more. */
  of({ model, pool, endpoint }: Asked): readonly Route[] {
    if (this.#known?.model === model && this.#known.pool === pool) return this.#known.list;
    // Where tasks have several models, all of them go where the first one goes; see modelCheck.
    if (model === "") this.#firstModel ??= firstModel(this.#sql)?.model ?? "";
    const common = model === "" ? this.#firstModel : model;
    const all = routesOf(this.#upstreams, endpoint, common ?? "");
    // When an older batch was opened, only the first route of its models was compared.
    const list = model === "" && pool === null ? all.slice(0, 1) : all;
    this.#known = { model, pool, list };
    return list;
  }
}
