import { worthRetrying } from "../core/outcome.ts";
import { outputLineId } from "../wire/ids.ts";
import { byteLength } from "../wire/request.ts";
import type { Report } from "./exchange.ts";

/** A final outcome as it is kept: its output line, and whether sending it again may succeed. */
export interface Outcome {
  /** Whether it goes to the output file; the others go to the error file. */
  ok: boolean;
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
      ok: false,
      line: `${head},"response":null,"error":${error}}`,
      retry: worthRetrying(verdict.kind),
    };
  }
  const requestId = JSON.stringify(result.requestId);
  const line = `${head},"response":{"status_code":${result.status},"request_id":${requestId},"body":${result.body}},"error":null}`;
  if (line.length * 3 > MAX_LINE_BYTES && byteLength(line) > MAX_LINE_BYTES) {
    const message = `The upstream's answer is longer than ${MAX_LINE_BYTES} bytes.`;
    const error = JSON.stringify({ code: "response_too_large", message });
    return { ok: false, line: `${head},"response":null,"error":${error}}`, retry: false };
  }
  return { ok: verdict.kind === "succeeded", line, retry: worthRetrying(verdict.kind) };
}

/** A row holds 2 MB (2,000,000 bytes); its other columns are small. */
const MAX_LINE_BYTES = 1_990_000;
