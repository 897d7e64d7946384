import { describe, expect, it } from "vitest";
import { call, chatLine, ended, open, post, unique, upload } from "../support/worker/client.ts";

/** What every answer has, whatever it is about. */

const hostile = "<script>alert(1)</script>";

async function answers(): Promise<[what: string, answer: Response][]> {
  const { id } = await ended((await open({ model: "m", prompts: [unique(hostile)] })).id);
  const file = await upload(chatLine("a", hostile));
  const body = { model: "m", messages: [{ role: "user", content: unique(hostile) }] };
  return [
    ["a batch", await call(`/v1/batches/${id}`)],
    ["results", await call(`/v1/batches/${id}/results`)],
    ["events", await call(`/v1/batches/${id}/events`)],
    ["a file", await call(`/v1/files/${file.id}/content`)],
    ["a single call", await post("/v1/chat/completions", body)],
    ["a batch of messages", await call("/v1/messages/batches/none")],
    ["no such route", await call(`/${encodeURIComponent(hostile)}`)],
    ["a wrong method", await call("/v1/batches", { method: "PUT" })],
    ["a wrong key", await call("/v1/batches", {}, "sk-no")],
    ["the document", await call("/openapi.json")],
    ["metrics", await call("/metrics")],
  ];
}

describe("an answer", async () => {
  it.each(await answers())("is kept by no browser and taken for no page: %s", (_, { headers }) => {
    expect(headers.get("cache-control")).toMatch(/^no-store\b/);
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("content-type")).not.toContain("html");
    expect(headers.has("set-cookie")).toBe(false);
  });
});
