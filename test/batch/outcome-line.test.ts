import { outcomeOf } from "../../src/batch/outcome-line.ts";
export const x = outcomeOf;
