import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import type { Contract } from "../support/contract.ts";
import {
  ADMIN_KEY,
  call,
  chatLine,
  DEFAULT_KEY,
  ended,
  open,
  post,
  unique,
  upload,
} from "../support/worker/client.ts";
import { ORIGIN, workerContract } from "../support/worker/contract.ts";
import { newKey, newProject } from "../support/worker/organization.ts";
import { type Document, requestOf, type Sent } from "../support/worker/rubbish.ts";

/**
 * Every route of /openapi.json gets requests made from what it says of itself, with slips and rubbish.
 * Whatever comes, the answer is one that the document has: its status, its type, its shape.
 *
 * MUSTER_FUZZ_RUNS says how many requests each route gets, MUSTER_FUZZ_SEED which.
 */

const { runs, seed } = inject("fuzz");

/** One of each thing that there is; a DELETE takes it away for the requests behind it. */
async function things(): Promise<string[]> {
  const batch = await ended((await open({ model: "m", prompts: [unique("a"), "[401]"] })).id);
  const file = await upload(chatLine("a", unique("a")));
  const begun = { bytes: 3, filename: "a", mime_type: "application/jsonl", purpose: "batch" };
  const parts: { id: string } = await (await post("/v1/uploads", begun)).json();
  const url = `${inject("receiverUrl")}/ok/fuzz`;
  const hook = { name: "n", url, event_types: ["batch.completed"] };
  // A project has few: those that routes before this one made are taken, too.
  const listed: { data: { id: string }[] } = await (await call("/v1/webhook_endpoints")).json();
  const [endpoint = (await (await post("/v1/webhook_endpoints", hook)).json()) as { id: string }] =
    listed.data;
  const messages = batch.id.replace("batch_", "msgbatch_");
  return [batch.id, "task-0", batch.output_file_id ?? "", file.id, parts.id, endpoint.id, messages];
}

/** The same of what the administrator has. */
async function administered(): Promise<string[]> {
  const { id } = await newProject();
  return [id, (await newKey(id)).id];
}

/** An answer's text. That of a single call is the upstream's, and may break off as that does. */
async function textOf(response: Response, isUpstreams: boolean): Promise<string> {
  try {
    return new TextDecoder().decode(await response.arrayBuffer());
  } catch (error) {
    if (isUpstreams) return "";
    throw error;
  }
}

/** What an answer must not tell: where the code is. */
const STACK = /\n\s+at .*(\(|:\d+)|\.ts:\d+/;

describe(`whatever comes (seed ${seed}, ${runs} requests a route)`, async () => {
  const document: Document = await (await call("/openapi.json")).json();
  const routes = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method): [string, string] => [method, path]),
  );
  let contract: Contract;
  const statuses = new Map<number, number>();

  beforeAll(async () => {
    contract = await workerContract();
  });

  it.each(routes)("%s %s gives an answer that is documented", async (method, path) => {
    const isAdmins = path.startsWith("/v1/organization/");
    const key = isAdmins ? ADMIN_KEY : DEFAULT_KEY;
    const ids = isAdmins ? await administered() : await things();
    const isSingleCall = document.paths[path]?.[method]?.tags.includes("Calls") ?? false;
    const check = async (sent: Sent) => {
      const before = (await contract.faults()).length;
      const response = await contract.fetch(`${ORIGIN}${sent.path}`, {
        method: sent.method,
        headers: [["authorization", `Bearer ${key}`], ...sent.headers],
        body: sent.body,
      });
      const text = await textOf(response, isSingleCall);
      statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
      expect(response.status).not.toBe(500);
      expect(response.headers.get("x-request-id")).toMatch(/^req_/);
      expect(text).not.toMatch(STACK);
      expect((await contract.faults()).slice(before)).toEqual([]);
    };
    await fc.assert(fc.asyncProperty(requestOf(document, path, method, ids), check), {
      seed,
      numRuns: runs,
    });
  });

  afterAll(() => {
    const counts = [...statuses].toSorted(([a], [b]) => a - b);
    console.log(
      `fuzz: seed ${seed}; ${counts.map(([status, n]) => `${n} × ${status}`).join(", ")}`,
    );
  });
});
