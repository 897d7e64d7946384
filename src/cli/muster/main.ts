import { CommanderError } from "commander";
import { Failure } from "../failure.ts";
import { EXIT, Exit } from "./exit.ts";
import { createProgram } from "./program.ts";

const interrupted = new AbortController();
process.once("SIGINT", () => interrupted.abort());
process.once("SIGTERM", () => interrupted.abort());
// A reader that went away (| head) has what it wanted.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(EXIT.ok);
  throw error;
});

const program = createProgram(interrupted.signal, (code) => {
  process.exitCode = code;
});
for (const command of [program, ...program.commands]) command.exitOverride();

try {
  await program.parseAsync();
} catch (error) {
  if (interrupted.signal.aborted) process.exitCode = 130;
  else if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  } else {
    console.error(error instanceof Failure || isOfSystem(error) ? error.message : error);
    process.exitCode = error instanceof Exit ? error.code : EXIT.error;
  }
}

/** What the system refused, such as a file without permission: its message is for people. */
function isOfSystem(error: unknown): error is Error {
  return error instanceof Error && "syscall" in error;
}
