/** Something went wrong that the user can act on: the message is all they need to see. */
export class Failure extends Error {
  override name = "Failure";
}

/** Prints why a command failed, on stderr, and has the process exit with 1. */
export function fail(error: unknown): void {
  const known = error instanceof Failure;
  console.error(known ? error.message : error);
  process.exitCode = 1;
}
