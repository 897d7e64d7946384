import { createHash } from "node:crypto";

/** Parts of an R2 multipart upload: at least 5 MiB, all but the last of one size. */
const PART_BYTES = 8 * 1024 * 1024;

const LF = 0x0a;

/** What was written; the hashes are in hex. */
export interface StoredObject {
  bytes: number;
  /** The last one may be without its end. */
  lines: number;
  sha256: string;
  md5: string;
}

/**
 * Writes a stream of unknown length to R2. It holds three parts' worth of memory at most: the next is
 * read while one is written.
 *
 * @returns undefined when it was longer than `maxBytes`: nothing is left of it then. The stream is
 *   read to its end all the same.
 * @throws {StorageError} when R2 refuses; what the stream throws otherwise.
 */
export async function storeObject(
  stream: AsyncIterable<Uint8Array>,
  bucket: R2Bucket,
  key: string,
  maxBytes: number,
): Promise<StoredObject | undefined> {
  const [sha256, md5] = [createHash("sha256"), createHash("md5")];
  const parts: R2UploadedPart[] = [];
  let writing: Promise<void> = Promise.resolve();
  let upload: R2MultipartUpload | undefined;
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  let bytes = 0;
  let ends = 0;
  let last = LF;
  try {
    for await (const chunk of stream) {
      bytes += chunk.byteLength;
      // Read on to the end without keeping anything, or a form would never finish.
      if (bytes > maxBytes) continue;
      sha256.update(chunk);
      for (let at = chunk.indexOf(LF); at >= 0; at = chunk.indexOf(LF, at + 1)) ends += 1;
      last = chunk.at(-1) ?? last;
      md5.update(chunk);
      held.push(chunk);
      heldBytes += chunk.byteLength;
      while (heldBytes >= PART_BYTES) {
        const all = concat(held, heldBytes);
        upload ??= await inR2(bucket.createMultipartUpload(key));
        await writing;
        const part = upload.uploadPart(parts.length + 1, all.subarray(0, PART_BYTES));
        writing = inR2(part).then((written) => void parts.push(written));
        // Whoever awaits it hears of it; until then it must not count as unhandled.
        writing.catch(() => undefined);
        held = [all.slice(PART_BYTES)];
        heldBytes -= PART_BYTES;
      }
    }
    await writing;
    if (bytes > maxBytes) {
      await upload?.abort();
      return undefined;
    }
    const rest = concat(held, heldBytes);
    if (upload === undefined) {
      await inR2(bucket.put(key, rest));
    } else {
      if (heldBytes > 0) parts.push(await inR2(upload.uploadPart(parts.length + 1, rest)));
      await inR2(upload.complete(parts));
    }
    const lines = last === LF ? ends : ends + 1;
    return { bytes, lines, sha256: sha256.digest("hex"), md5: md5.digest("hex") };
  } catch (error) {
    await writing.catch(() => undefined);
    // R2 drops a multipart upload that nobody completes by itself, a week later.
    await upload?.abort().catch(() => undefined);
    throw error;
  }
}

/** R2 did not do what it was asked. */
export class StorageError extends Error {
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
