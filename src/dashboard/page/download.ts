import type { BatchObject } from "../../wire/batch.ts";
import { ask } from "./api.ts";
import { rowOf } from "./csv-row.ts";

/** What results can be saved as. */
export type DownloadFormat = "jsonl" | "json" | "csv";

/** Saves all results there are so far as a file. They come as a stream; the browser keeps the bytes. */
export async function download(
  path: string,
  batch: Pick<BatchObject, "id" | "endpoint">,
  format: DownloadFormat,
): Promise<void> {
  const accept = format === "json" ? "application/json" : "application/jsonl";
  const response = await ask(`${path}/results`, { headers: { accept } });
  const type = { jsonl: "application/jsonl", json: "application/json", csv: "text/csv" }[format];
  const parts: BlobPart[] =
    format === "csv" && response.body
      ? await csvOf(response.body, batch.endpoint)
      : [await response.blob()];
  const url = URL.createObjectURL(new Blob(parts, { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `${batch.id}.${format}`;
  link.click();
  URL.revokeObjectURL(url);
}

/** Rows as text, in pieces, so that no single string holds all of them. */
async function csvOf(body: ReadableStream<Uint8Array>, endpoint: string): Promise<string[]> {
  const pieces = ["\uFEFFcustom_id,status,content,error\r\n"];
  let rest = "";
  const reader = body.pipeThrough(new TextDecoderStream() as never).getReader();
  for (;;) {
    const { value, done } = (await reader.read()) as { value?: string; done: boolean };
    const lines = (rest + (value ?? "")).split("\n");
    rest = lines.pop() ?? "";
    pieces.push(lines.map((line) => rowOf(line, endpoint)).join(""));
    if (done) return pieces;
  }
}
