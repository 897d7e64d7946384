import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { rows } from "../../../src/cli/muster/results.ts";

const answer = (content: string) =>
  JSON.stringify({
    id: "batch_req_1",
    custom_id: "a",
    response: {
      status_code: 200,
      request_id: "r",
      body: { choices: [{ message: { content } }] },
    },
    error: null,
  });

async function written(text: string, format: "csv" | "text"): Promise<string> {
  let all = "";
  const body = Readable.from([Buffer.from(text)]);
  for await (const row of rows(body, "/v1/chat/completions", format)) all += row;
  return all;
}

test("an answer keeps U+2028 and U+2029, which end no line of JSON", async () => {
  const content = "one\u2028two\u2029three";
  const lines = `${answer(content)}\n${answer("four")}\n`;
  expect(await written(lines, "text")).toBe(`${content}\nfour\n`);
  expect(await written(lines, "csv")).toContain(`a,succeeded,${content},\r\na,succeeded,four,\r\n`);
});
