import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { Busboy, type BusboyHeaders } from "@fastify/busboy";
import { type Result, refuse } from "../wire/errors.ts";

/** Bytes of one upload at most: the official batch API's limit for an input file. */
export const MAX_FILE_BYTES = 200 * 1024 * 1024;
/** Parts of an R2 multipart upload: at least 5 MiB, all but the last of one size. */
const PART_BYTES = 8 * 1024 * 1024;
/** A form's other fields are short. */
const MAX_FIELD_BYTES = 1024;

/** What a multipart form held. The file's bytes are in R2 already. */
export interface Upload {
  fields: Map<string, string>;
  file: { filename: string; bytes: number; sha256: string } | undefined;
}

/**
 * Reads a multipart form as a stream, its `file` straight into R2 under `key`, the fields in any
 * order around it. Takes one part's worth of memory, whatever the file's size, and needs no
 * Content-Length. On a refusal nothing is left in R2.
 */
export async function receiveUpload(
  request: Request,
  bucket: R2Bucket,
  key: string,
): Promise<Result<Upload>> {
  const type = request.headers.get("content-type") ?? "";
  if (!/^multipart\/form-data\s*;.*boundary=/i.test(type) || request.body === null) {
    return refuse(
      "invalid_request",
      "The body takes multipart/form-data with a file and a purpose.",
    );
  }
  const fields = new Map<string, string>();
  let file: Upload["file"];
  let refused: Result<never> | undefined;
  let stored: Promise<void> = Promise.resolve();
  let stopStoring = (_: Error): void => undefined;
  const form = new Busboy({
    headers: { "content-type": type } as BusboyHeaders,
    limits: { files: 1, fields: 20, fieldSize: MAX_FIELD_BYTES },
  });
  form.on("field", (name, value) => fields.set(name, value));
  const body = Readable.fromWeb(request.body as never);
  try {
    await new Promise<void>((resolve, reject) => {
      form.on("file", (name, stream, filename) => {
        if (name !== "file") {
          stream.resume();
          return;
        }
        stopStoring = (error) => stream.destroy(error);
        stored = store(stream, bucket, key).then((kept) => {
          if (kept === undefined) refused = TOO_LARGE;
          else file = { filename: filename || "upload.jsonl", ...kept };
        });
        // The form would wait for ever for a file that nobody reads any more.
        stored.catch(reject);
      });
      form.on("filesLimit", () => {
        refused = ONE_FILE;
      });
      form.on("finish", resolve);
      form.on("error", reject);
      body.on("error", reject);
      body.pipe(form);
    });
    await stored;
  } catch (error) {
    const broken = error instanceof Error ? error : new Error(String(error));
    stopStoring(broken);
    const failure = await stored.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    // That is not the client's fault, so it is no refusal.
    if (failure instanceof StorageError) throw failure;
    await bucket.delete(key);
    return refuse("invalid_request", `The form broke off or is not valid: ${broken.message}.`);
  }
  if (refused === undefined) return { ok: true, value: { fields, file } };
  await bucket.delete(key);
  return refused;
}

const ONE_FILE = refuse("invalid_request", "The form takes one file, named 'file'.", "file");

const TOO_LARGE = refuse(
  "too_large",
  `The file is longer than ${MAX_FILE_BYTES} bytes. Split it into several batches.`,
  "file",
);

/** Writes a stream of unknown length. @returns its size and hash, or undefined when it was too long. */
async function store(
  stream: AsyncIterable<Uint8Array>,
  bucket: R2Bucket,
  key: string,
): Promise<{ bytes: number; sha256: string } | undefined> {
  const hash = createHash("sha256");
  let parts: R2UploadedPart[] = [];
  let upload: R2MultipartUpload | undefined;
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  let bytes = 0;
  try {
    for await (const chunk of stream) {
      bytes += chunk.byteLength;
      // Read on to the end without keeping anything, or the form would never finish.
      if (bytes > MAX_FILE_BYTES) continue;
      hash.update(chunk);
      held.push(chunk);
      heldBytes += chunk.byteLength;
      while (heldBytes >= PART_BYTES) {
        const all = concat(held, heldBytes);
        upload ??= await inR2(bucket.createMultipartUpload(key));
        const part = upload.uploadPart(parts.length + 1, all.subarray(0, PART_BYTES));
        parts = [...parts, await inR2(part)];
        held = [all.slice(PART_BYTES)];
        heldBytes -= PART_BYTES;
      }
    }
    if (bytes > MAX_FILE_BYTES) {
      await upload?.abort();
      return undefined;
    }
    const rest = concat(held, heldBytes);
    if (upload === undefined) {
      await inR2(bucket.put(key, rest));
    } else {
      if (heldBytes > 0) {
        parts = [...parts, await inR2(upload.uploadPart(parts.length + 1, rest))];
      }
      await inR2(upload.complete(parts));
    }
    return { bytes, sha256: hash.digest("hex") };
  } catch (error) {
    // R2 drops a multipart upload that nobody completes by itself, a week later.
    await upload?.abort().catch(() => undefined);
    throw error;
  }
}

/** R2 did not do what it was asked. */
class StorageError extends Error {
  override name = "StorageError";
}

function inR2<T>(answer: Promise<T>): Promise<T> {
  return answer.catch((cause: unknown) => {
    throw new StorageError(`R2 refused a part of a file: ${String(cause)}`, { cause });
  });
}

function concat(chunks: readonly Uint8Array[], bytes: number): Uint8Array {
  const all = new Uint8Array(bytes);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.byteLength;
  }
  return all;
}
