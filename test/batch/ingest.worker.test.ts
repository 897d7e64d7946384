import { describe, expect, it } from "vitest";
import type { BatchObject } from "../../src/wire/batch.ts";
import { call, ended, look, open, outputLines, until, upload } from "../support/worker/client.ts";

/** A file of lines of some kilobytes each. */
function fileOf(lines: number, kilobytes: number): string {
  const padding = "x".repeat(kilobytes * 1000);
  const line = (index: number) =>
    JSON.stringify({
      custom_id: `line-${index}`,
      method: "POST",
      url: "/v1/chat/completions",
      body: { model: "m", messages: [{ role: "user", content: `input ${index}` }], padding },
    });
  return Array.from({ length: lines }, (_, index) => `${line(index)}\n`).join("");
}

describe("a batch that reads its file", () => {
  it("lets others look at it meanwhile, and shows how far it is", async () => {
    const lines = 600;
    const file = await upload(fileOf(lines, 8));
    const asked = {
      input_file_id: file.id,
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
    };
    const { id } = await open(asked);
    const seen: BatchObject[] = [];
    await until(
      async () => {
        const batch = await look(id);
        seen.push(batch);
        return batch.status;
      },
      (status) => status !== "validating",
    );
    const totals = seen.map(({ muster }) => muster.audit.total);
    expect(totals).toEqual([...totals].sort((a, b) => a - b));
    expect(totals.filter((total) => total > 0 && total < lines).length).toBeGreaterThan(1);
    expect((await ended(id)).request_counts).toEqual({ total: lines, completed: lines, failed: 0 });
  });

  it("takes a first line of any depth, in a file of several ranges", async () => {
    const deep = `${"[".repeat(1_500)}${"]".repeat(1_500)}`;
    const body = `{"model":"m","messages":[{"role":"user","content":"hi"}],"metadata":${deep}}`;
    const first = `{"custom_id":"deep","method":"POST","url":"/v1/chat/completions","body":${body}}\n`;
    const file = await upload(first + fileOf(160, 8));
    const endpoint = "/v1/chat/completions";
    const { id } = await open({ input_file_id: file.id, endpoint, completion_window: "24h" });
    expect((await ended(id)).request_counts).toEqual({ total: 161, completed: 161, failed: 0 });
  });

  it("has an outcome for each line when it is cancelled at once, and a retry runs them", async () => {
    const lines = 600;
    const file = await upload(fileOf(lines, 8));
    const asked = {
      input_file_id: file.id,
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
    };
    const { id } = await open(asked);
    expect((await call(`/v1/batches/${id}/cancel`, { method: "POST" })).status).toBe(200);
    const end = await ended(id);
    const { succeeded, cancelled } = end.muster.counts;
    expect(end).toMatchObject({ status: "cancelled", request_counts: { total: lines } });
    expect(succeeded + cancelled).toBe(lines);
    expect(await outputLines(id)).toHaveLength(lines);
    expect((await call(`/v1/batches/${id}/retry`, { method: "POST" })).status).toBe(200);
    expect(await ended(id)).toMatchObject({
      status: "completed",
      request_counts: { total: lines, completed: lines, failed: 0 },
    });
  });
});
