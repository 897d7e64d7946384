import type { BatchObject } from "../../wire/batch.ts";
import type { BatchCheck } from "../../wire/check.ts";
import type { FileObject } from "../../wire/file.ts";
import { ask, Refused, send } from "./api.ts";

/** What a batch is opened with, beside its file. */
export type Wish = { endpoint: string } & Record<string, unknown>;

const BATCHES = "/v1/batches";

/**
 * Lines on their way to be a batch. Opening it again after an answer was lost opens no second one: the
 * same file goes with the same key.
 */
export class Sending {
  readonly #lines: readonly string[];
  readonly #name: string;
  readonly #wish: Wish;
  readonly #key = randomKey();
  #fileId: string | undefined;

  constructor(lines: readonly string[], name: string, wish: Wish) {
    this.#lines = lines;
    this.#name = name;
    this.#wish = wish;
  }

  /** Has it checked; nothing of it is kept. @throws {Refused} */
  async check(): Promise<BatchCheck> {
    const id = await this.#upload();
    try {
      return await send("POST", `${BATCHES}?dry_run=true`, { input_file_id: id, ...this.#wish });
    } finally {
      await forget(id);
    }
  }

  /** Opens it. @throws {Refused} */
  async open(): Promise<BatchObject> {
    this.#fileId ??= await this.#upload();
    const id = this.#fileId;
    const headers = { "idempotency-key": this.#key };
    try {
      return await send("POST", BATCHES, { input_file_id: id, ...this.#wish }, headers);
    } catch (failure) {
      if (!(failure instanceof Refused)) throw failure;
      const { status } = failure;
      // Without a refusal of Muster's own the batch may be open all the same, and reads the file.
      if (status >= 400 && status < 500 && status !== 409) {
        this.#fileId = undefined;
        await forget(id);
      }
      if (status !== 0) throw failure;
      throw new Refused(0, `${failure.message} What was opened is not opened twice.`);
    }
  }

  async #upload(): Promise<string> {
    const form = new FormData();
    form.set("purpose", "batch");
    const lines = new Blob(this.#lines.map((line) => `${line}\n`));
    form.set("file", lines, this.#name);
    const uploaded = await ask("/v1/files", { method: "POST", body: form });
    return ((await uploaded.json()) as FileObject).id;
  }
}

/** A file that is left over is no reason to fail; it is deleted with its time. */
async function forget(id: string): Promise<void> {
  await ask(`/v1/files/${id}`, { method: "DELETE" }).catch(() => undefined);
}

/** `crypto.randomUUID` is only there where the page came by https or from this machine. */
function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
