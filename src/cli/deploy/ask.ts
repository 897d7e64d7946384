import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";

/**
 * Asks a question in the terminal. An empty answer is the fallback.
 *
 * @param secret does not show what is typed
 */
export async function ask(
  question: string,
  { fallback = "", secret = false }: { fallback?: string; secret?: boolean } = {},
): Promise<string> {
  let muted = false;
  const output = new Writable({
    write(chunk: Buffer, _encoding, done) {
      if (!muted) process.stdout.write(chunk);
      done();
    },
  });
  const reader = createInterface({ input: process.stdin, output, terminal: true });
  try {
    const answer = reader.question(
      fallback === "" ? `${question}: ` : `${question} [${fallback}]: `,
    );
    muted = secret;
    return (await answer).trim() || fallback;
  } finally {
    reader.close();
    if (secret) process.stdout.write("\n");
  }
}
