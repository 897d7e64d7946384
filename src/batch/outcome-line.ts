import { worthRetrying } from "../core/outcome.ts";
import { outputLineId } from "../wire/ids.ts";
import type { Report } from "./exchange.ts";

/** A final outcome as it is kept: its output line, and whether sending it again may succeed. */
export interface Outcome {
  line: string;
  retry: boolean;
}

/**
 * The output line of a report that ended its task. The upstream's body is spliced in as text, so
 * that numbers past 2^53 and the order of members survive.
 */
export function outcomeOf(report: Report, batchId: string, customId: string): Outcome {
  const { result, verdict } = report;
  const head = `{"id":"${outputLineId(batchId, report.seq)}","custom_id":${JSON.stringify(customId)}`;
  if (result.kind === "unanswered") {
    const error = JSON.stringify({ code: result.code, message: result.message });
    return {
      line: `${head},"response":null,"error":${error}}`,
      retry: worthRetrying(verdict.kind),
    };
  }
  const requestId = JSON.stringify(result.requestId);
  return {
    line: `${head},"response":{"status_code":${result.status},"request_id":${requestId},"body":${result.body}},"error":null}`,
    retry: worthRetrying(verdict.kind),
  };
}
