import { runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { MAX_BODY_BYTES } from "../../src/wire/request.ts";
import {
  bodyOf,
  call,
  ended,
  errorOf,
  open,
  outputLines,
  post,
  unique,
  upload,
} from "../support/worker/client.ts";
import { newBatch, stubOf } from "../support/worker/store.ts";

/**
 * A row of an object's SQLite holds 2 MB. The local runtime stores longer ones; the platform does
 * not, so Muster draws the line, to the byte.
 */
const ROW_BYTES = 2_000_000;
const CHAT = "/v1/chat/completions";

const bytesOf = (text: string) => new TextEncoder().encode(text).length;

/** A chat body of exactly so many bytes, filled with a character of one to four of them. */
function bodyOfBytes(bytes: number, prompt: string, filler = "x"): string {
  const messages = [{ role: "user", content: prompt }];
  const head = `{"model":"m","messages":${JSON.stringify(messages)},"padding":"`;
  const room = bytes - bytesOf(head) - 2;
  const width = bytesOf(filler);
  const rest = "x".repeat(room % width);
  return `${head}${filler.repeat(Math.floor(room / width))}${rest}"}`;
}

/** As long a custom_id as there is, of characters that take the most bytes in JSON and in UTF-8. */
const LONGEST_ID = "\u0001".repeat(256) + "語".repeat(256);

const lineOf = (customId: string, body: string) =>
  `{"custom_id":${JSON.stringify(customId)},"method":"POST","url":"${CHAT}","body":${body}}\n`;

async function openFile(text: string) {
  const file = await upload(text);
  const asked = { input_file_id: file.id, endpoint: CHAT, completion_window: "24h" };
  return ended((await open(asked)).id);
}

/** The bytes of the longest row that a batch's object has. */
function longestRow(batchId: string): Promise<number> {
  return runInDurableObject(stubOf(newBatch({ batch_id: batchId })), (_, { storage }) => {
    const tables = storage.sql
      .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table'")
      .toArray()
      .filter(({ name }) => !name.startsWith("_cf_"));
    return Math.max(
      ...tables.map(({ name }) => {
        const columns = storage.sql
          .exec<{ name: string }>("SELECT name FROM pragma_table_info(?)", name)
          .toArray()
          .map((column) => `coalesce(octet_length("${column.name}"), 0)`);
        const sum = `SELECT coalesce(max(${columns.join(" + ")}), 0) AS bytes FROM "${name}"`;
        return storage.sql.exec<{ bytes: number }>(sum).one().bytes;
      }),
    );
  });
}

describe("a request body", () => {
  it.each([
    ["one byte", "x"],
    ["three bytes", "語"],
    ["four bytes", "🌏"],
  ])("of exactly the limit, in characters of %s, is called and fits a row", async (_, filler) => {
    const body = bodyOfBytes(MAX_BODY_BYTES, unique("longest"), filler);
    expect(bytesOf(body)).toBe(MAX_BODY_BYTES);
    const batch = await openFile(lineOf(LONGEST_ID, body));
    expect(batch.request_counts).toEqual({ total: 1, completed: 1, failed: 0 });
    expect(await longestRow(batch.id)).toBeLessThan(ROW_BYTES);
  });

  it("of one byte more is refused in a file, by its line", async () => {
    const text =
      lineOf("a", bodyOfBytes(1_000, "short")) +
      lineOf("b", bodyOfBytes(MAX_BODY_BYTES + 1, "long", "語"));
    const batch = await openFile(text);
    expect(batch.status).toBe("failed");
    expect(batch.errors?.data).toEqual([
      {
        code: "body_too_large",
        message: `body is longer than ${MAX_BODY_BYTES} bytes, the most one task takes.`,
        param: "body",
        line: 2,
      },
    ]);
  });

  it("of one byte more is refused inline, by its place", async () => {
    const requests = (body: string) => `{"endpoint":"${CHAT}","requests":[{"body":${body}}]}`;
    const most = await post("/v1/batches", requests(bodyOfBytes(MAX_BODY_BYTES, unique("inline"))));
    expect(most.status).toBe(202);
    const more = await post("/v1/batches", requests(bodyOfBytes(MAX_BODY_BYTES + 1, "inline")));
    expect(more.status).toBe(400);
    expect(await errorOf(more)).toMatchObject({
      code: "body_too_large",
      param: "requests[0].body",
      message: expect.stringContaining(String(MAX_BODY_BYTES)),
    });
  });
});

describe("an answer", () => {
  it("of exactly the limit is recorded and read whole, under the longest custom_id", async () => {
    const prompt = unique("[most]");
    const batch = await openFile(lineOf(LONGEST_ID, bodyOfBytes(1_000, prompt)));
    expect(batch.request_counts.completed).toBe(1);
    expect(await longestRow(batch.id)).toBeGreaterThan(1_900_000);
    expect(await longestRow(batch.id)).toBeLessThan(ROW_BYTES);
    const [line] = await outputLines(batch.id);
    expect(line?.custom_id).toBe(LONGEST_ID);
    expect(bytesOf(JSON.stringify(line?.response?.body))).toBe(1_900_000);
    const { text } = await bodyOf(await call(`/v1/files/${batch.output_file_id}/content`));
    expect(JSON.parse(text)).toEqual(line);
  });

  it("of one byte more fails its task for good, with words that say why", async () => {
    const { id } = await open({ model: "m", prompts: [unique("[one more]")] });
    await ended(id);
    expect(await outputLines(id)).toMatchObject([
      {
        response: null,
        error: {
          code: "response_too_large",
          message: "The upstream's answer is longer than 1900000 bytes.",
        },
      },
    ]);
  });
});

it("the longest metadata there is fits its row", async () => {
  const metadata = Object.fromEntries(
    Array.from({ length: 16 }, (_, n) => [
      String(n).padEnd(64, "語"),
      "\u0001".repeat(256) + "語".repeat(256),
    ]),
  );
  const { id } = await open({ model: "m", prompts: [unique("metadata")], metadata });
  expect((await ended(id)).metadata).toEqual(metadata);
  expect(await longestRow(id)).toBeLessThan(100_000);
});
