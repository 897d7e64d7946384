import type { Rate } from "../core/request-rate.ts";
import type { Scope } from "../wire/api-key.ts";
import type { Quotas } from "../wire/quota.ts";

/** What a Gate says to a request. */
export type Admission =
  | {
      kind: "admitted";
      scopes: Scope[];
      quotas: Quotas;
      /** Null when requests a minute have no limit. */
      rate: Rate | null;
    }
  | { kind: "too_many"; rate: Rate; waitMs: number }
  /** Its key is right, and no longer good. */
  | { kind: "expired"; expiredAtMs: number }
  | { kind: "archived" }
  | { kind: "unknown" };
