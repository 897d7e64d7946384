import { Permits } from "../../src/batch/permits.ts";
export const x = Permits;
