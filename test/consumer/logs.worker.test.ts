import { abortAllDurableObjects } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, inject, it, vi } from "vitest";
import { DEFAULT_KEY, ended, look, open, unique, until } from "../support/worker/client.ts";
import { closedDoor, deliver, deliveryOf, drive, TASKS_QUEUE } from "../support/worker/faults.ts";
import { newBatch, plant } from "../support/worker/store.ts";

const LEVELS = ["debug", "info", "log", "warn", "error"] as const;
const UPSTREAM_KEY = "sk-upstream-secret";

/** Everything that was written to the console, in the Worker and in its objects. */
const written: string[] = [];

beforeEach(() => {
  written.length = 0;
  for (const level of LEVELS) {
    vi.spyOn(console, level).mockImplementation((...parts: unknown[]) => {
      written.push(parts.map(String).join(" "));
    });
  }
});
afterEach(() => vi.restoreAllMocks());

/** Prompts that fail in every way there is, each with a secret of its own. */
const secrets = (markers: readonly string[]) =>
  markers.map((marker) => unique(`${marker} SECRET-PROMPT`));

describe("what the Worker logs", () => {
  it("of a batch that fails in many ways holds no prompt and no key", async () => {
    const prompts = secrets([
      "[400]",
      "[503 always]",
      "[not json]",
      "[truncated]",
      "[reset]",
      "[huge]",
      "[redirect]",
      "[no money]",
      "[hang first]",
    ]);
    const secret = `whsec_${btoa("z".repeat(32))}`;
    const webhook = { url: `${await closedDoor()}/ok/logs`, secret };
    const { id } = await open({ model: "m", prompts, webhook });
    await ended(id);
    await deliveryOf(id, ({ attempts }) => attempts.length === 1);
    await deliver(TASKS_QUEUE, "rubbish");
    const text = written.join("\n");
    // What this test hears is what was written: the rubbish is among it.
    expect(text).toContain("message_not_understood");
    for (const word of ["SECRET-PROMPT", UPSTREAM_KEY, DEFAULT_KEY, secret, "Bearer"]) {
      expect(text).not.toContain(word);
    }
  });

  it("of a batch whose objects are aborted in the middle holds no prompt and no key", async () => {
    const prompts = secrets(Array.from({ length: 400 }, () => "cut off"));
    const { id } = await open({ model: "m", prompts });
    const seen = () => look(id).catch(() => undefined);
    for (const done of [1, 100, 200, 300]) {
      await until(seen, (one) => (one?.request_counts.completed ?? 0) >= done);
      await abortAllDurableObjects();
    }
    await until(seen, (one) => one?.status === "completed");
    await deliver(TASKS_QUEUE, "rubbish");
    const text = written.join("\n");
    expect(text).toContain("message_not_understood");
    for (const word of ["SECRET-PROMPT", UPSTREAM_KEY, DEFAULT_KEY]) {
      expect(text).not.toContain(word);
    }
  });

  it("of a sweep that failed names the batch and the error, and nothing else", async () => {
    const batch = newBatch({ expires_at: Date.now() - 1 });
    await plant(batch, secrets(["sweep"]), () => undefined);
    const registerFiles = () => Promise.reject(new Error("the project is out of reach"));
    await drive(batch, { registerFiles }, async ({ engine, logged }) => {
      await engine.alarm();
      expect(logged).toEqual([
        {
          event: "sweep_failed",
          batch: batch.batch_id,
          error: "Error: the project is out of reach",
        },
        { event: "batch_stopping", batch: batch.batch_id, ending: "expired" },
      ]);
    });
  });

  it("is one JSON object a line, each with an event", async () => {
    const webhook = { url: `${inject("receiverUrl")}/gone/logs` };
    const { id } = await open({ model: "m", prompts: secrets(["[503 always]"]), webhook });
    await ended(id);
    await deliver(TASKS_QUEUE, "rubbish");
    expect(written.length).toBeGreaterThan(0);
    for (const line of written) expect(JSON.parse(line)).toHaveProperty("event");
  });
});
