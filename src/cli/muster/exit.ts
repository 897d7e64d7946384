import { Failure } from "../failure.ts";

/** What `muster` exits with, for scripts. `muster --help` lists them. */
export const EXIT = {
  /** All went well; what was waited for succeeded. */
  ok: 0,
  /** Something else went wrong; the message says what. */
  error: 1,
  /** An argument or an input file is wrong; nothing was sent. */
  usage: 2,
  /** The batch completed, and some of its tasks did not succeed. */
  tasksFailed: 3,
  /** The batch ended in another way: failed validation, expired or cancelled. */
  notCompleted: 4,
  /** Muster does not answer. */
  unreachable: 5,
  /** The API key is missing or refused. */
  unauthorized: 6,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** A failure with an exit code of its own. */
export class Exit extends Failure {
  readonly code: ExitCode;

  constructor(code: ExitCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** What Muster refused, in its words. */
export class Refused extends Exit {
  readonly status: number;
  /** The member of the request that it is about. */
  readonly param: string | null;

  constructor(status: number, message: string, param: string | null) {
    super(EXIT.error, message);
    this.status = status;
    this.param = param;
  }
}

/** What the user gave is wrong. */
export function wrong(message: string): Exit {
  return new Exit(EXIT.usage, message);
}
