import { createHash, randomUUID } from "node:crypto";
import type { FileObject } from "../../wire/file.ts";
import type { Api } from "./api.ts";
import { wrong } from "./exit.ts";
import type { Line } from "./input.ts";

/** What was uploaded. */
export interface Uploaded {
  file: FileObject;
  /** The first request line. */
  first: string;
  /** The line of the input each request comes from. */
  origins: number[];
  sha256: string;
}

/** What Muster says of lines of the upload, as said of the lines of the input that they come from. */
export function inInput<Said extends { line: number | null }>(
  said: readonly Said[],
  origins: readonly number[] | undefined,
): Said[] {
  return said.map((one) => ({
    ...one,
    line: one.line === null ? null : (origins?.[one.line - 1] ?? one.line),
  }));
}

/** An upload is sent in pieces of about this size. */
const PIECE_BYTES = 256 * 1024;

/** Streams request lines into a file of Muster's, and remembers where each one came from. */
export async function upload(
  api: Api,
  lines: AsyncIterable<Line>,
  name: string,
): Promise<Uploaded> {
  const origins: number[] = [];
  const hash = createHash("sha256");
  const boundary = `muster-${randomUUID()}`;
  // What is wrong with the first line is said before anything is sent.
  const iterator = lines[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done === true) throw wrong("There is nothing to send: the input holds no task.");

  async function* parts(): AsyncGenerator<Uint8Array> {
    const head = [
      `--${boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n`,
      `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="${name}"\r\n`,
      "Content-Type: application/jsonl\r\n\r\n",
    ];
    yield Buffer.from(head.join(""));
    let piece = "";
    let next = first;
    while (next.done !== true) {
      const { text, from } = next.value;
      origins.push(from);
      hash.update(text).update("\n");
      piece += `${text}\n`;
      if (piece.length >= PIECE_BYTES) {
        yield Buffer.from(piece);
        piece = "";
      }
      next = await iterator.next();
    }
    yield Buffer.from(`${piece}\r\n--${boundary}--\r\n`);
  }

  let broken: unknown;
  const body = ReadableStream.from(
    (async function* () {
      try {
        yield* parts();
      } catch (error) {
        // fetch would only say that it failed.
        broken = error;
        throw error;
      }
    })(),
  );
  try {
    const file = await api.json<FileObject>("/v1/files", {
      method: "POST",
      headers: { "content-type": `multipart/form-data; boundary=${boundary}` },
      body,
      duplex: "half",
    } as RequestInit);
    return { file, first: first.value.text, origins, sha256: hash.digest("hex") };
  } catch (error) {
    throw broken ?? error;
  }
}
