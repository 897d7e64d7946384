import { mkdtemp, readdir } from "node:fs/promises";
import { Agent, request } from "node:http";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { constants, gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { BatchObject } from "../../src/wire/batch.ts";
import type { ErrorBody } from "../../src/wire/errors.ts";
import type { FileObject } from "../../src/wire/file.ts";
import { type Running, startTestMuster } from "../support/muster.ts";
import { chatLine, jsonl } from "../support/requests.ts";
import { until } from "../support/wait.ts";
import { watchMemory } from "../support/workerd-memory.ts";

/**
 * Clients that are slow, many, or gone, and bodies that are meant to hurt, against a whole Muster
 * while a batch runs. Nobody else is kept waiting, nothing is left behind, and the batch ends exactly.
 *
 * MUSTER_LOAD=5 makes it five times as much: a burst of 5,000.
 */

const LOAD = Number(process.env.MUSTER_LOAD ?? 1);
const TASKS = 1_000 * LOAD;
const BURST = 1_000 * LOAD;
const IDLE = 1_000;
const MIB = 1024 * 1024;

let muster: Running;
let state = "";
let running = "";
const agent = new Agent({ keepAlive: true, maxSockets: 200 });
const ended: string[] = [];

beforeAll(async () => {
  state = await mkdtemp(join(tmpdir(), "muster-load-"));
  const latency = { kind: "fixed", ms: 100 } as const;
  muster = await startTestMuster({ latency }, { UPSTREAM_MAX_CONCURRENCY: "20" }, state);
  const prompts = Array.from({ length: TASKS }, (_, index) => `question ${index}`);
  running = await open(prompts);
});

afterAll(async () => {
  agent.destroy();
  await muster.stop();
});

async function open(prompts: string[]): Promise<string> {
  const response = await muster.post("/batches", { model: "m", prompts });
  expect(response.status).toBe(202);
  const { id } = (await response.json()) as BatchObject;
  return id;
}

async function look(id: string): Promise<BatchObject> {
  return (await (await muster.get(`/batches/${id}`)).json()) as BatchObject;
}

/** That others are served: how long a look at the batch takes. */
async function lookMs(): Promise<number> {
  const beginMs = performance.now();
  expect((await look(running)).id).toBe(running);
  return performance.now() - beginMs;
}

/** A connection of one's own, on which a request is written by hand. */
async function dial(): Promise<Socket> {
  const { hostname, port } = new URL(muster.url);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve).once("error", reject);
  });
  socket.on("error", () => undefined);
  return socket;
}

function headOf(method: string, path: string, headers: Record<string, string | number>): string {
  const all = { host: "muster.test", authorization: `Bearer ${muster.apiKey}`, ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`);
  return `${[`${method} /v1${path} HTTP/1.1`, ...lines].join("\r\n")}\r\n\r\n`;
}

function write(socket: Socket, bytes: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}

function read(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    socket.on("data", (bytes: Buffer) => {
      text += bytes.toString("latin1");
    });
    socket.on("close", () => resolve(text));
  });
}

const BOUNDARY = "load";
const FORM = `multipart/form-data; boundary=${BOUNDARY}`;
const formHead = `--${BOUNDARY}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--${BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n`;
const formTail = `\r\n--${BOUNDARY}--\r\n`;

async function upload(content: string): Promise<FileObject> {
  const response = await muster.fetch(`${muster.url}/files`, {
    method: "POST",
    headers: { authorization: `Bearer ${muster.apiKey}`, "content-type": FORM },
    body: formHead + content + formTail,
  });
  expect(response.status).toBe(200);
  return (await response.json()) as FileObject;
}

/** Ids of all files that a client sees, and keys of all objects that R2 holds. */
async function stored() {
  const list = (await (await muster.get("/files?limit=1000")).json()) as { data: FileObject[] };
  const folder = join(state, "v3", "r2", "miniflare-R2BucketObject");
  const keys: string[] = [];
  for (const name of await readdir(folder)) {
    if (!name.endsWith(".sqlite")) continue;
    const db = new DatabaseSync(join(folder, name), { readOnly: true });
    const has = db.prepare("SELECT 1 FROM sqlite_master WHERE name = '_mf_objects'").get();
    const rows = has === undefined ? [] : db.prepare("SELECT key FROM _mf_objects").all();
    keys.push(...rows.map(({ key }) => String(key)));
    db.close();
  }
  return { ids: list.data.map(({ id }) => id).toSorted(), keys: keys.toSorted() };
}

it("takes a body that comes byte by byte", async () => {
  const body = Buffer.from(JSON.stringify({ model: "m", prompts: ["slowly", "ゆっくり"] }));
  const socket = await dial();
  const answer = read(socket);
  const head = headOf("POST", "/batches", { "content-length": body.length, connection: "close" });
  for (const byte of Buffer.concat([Buffer.from(head), body])) {
    await write(socket, Uint8Array.of(byte));
  }
  expect(await answer).toMatch(/^HTTP\/1.1 202 /);
});

it("waits for a client that reads slowly, and keeps nothing in memory for it", async () => {
  const content = jsonl(
    Array.from({ length: 16 }, (_, index) => chatLine(`${index}`, `${index} `.repeat(500_000))),
  );
  const file = await upload(content);
  const socket = await dial();
  socket.pause();
  await write(socket, headOf("GET", `/files/${file.id}/content`, { connection: "close" }));
  let bytes = 0;
  let slowestMs = 0;
  for await (const chunk of socket.iterator({ destroyOnReturn: true })) {
    bytes += (chunk as Buffer).length;
    // Others are served between two reads.
    if (bytes % 7 === 0) slowestMs = Math.max(slowestMs, await lookMs());
  }
  expect(bytes).toBeGreaterThan(content.length);
  console.log(`slow reader: ${bytes} bytes; slowest look meanwhile ${Math.round(slowestMs)} ms`);
});

it("leaves nothing of uploads whose connection is cut", async () => {
  await upload(jsonl([chatLine("a", "kept")]));
  const before = await stored();
  const cut = async (length: number) => {
    const socket = await dial();
    const type = { "content-type": FORM, "content-length": 100 * MIB };
    await write(socket, headOf("POST", "/files", type) + formHead);
    const piece = new Uint8Array(MIB).fill(0x61);
    for (let sent = 0; sent < length; sent += MIB) await write(socket, piece);
    socket.destroy();
  };
  // In the first part of an upload to R2, and behind its first two.
  for (let round = 0; round < LOAD; round += 1) await Promise.all([cut(MIB), cut(18 * MIB)]);
  await lookMs();
  expect(await stored()).toEqual(before);
});

it(`answers others beside ${IDLE} idle connections`, async () => {
  const head = headOf("POST", "/batches", { "content-length": 100 });
  const sockets = await Promise.all(Array.from({ length: IDLE }, () => dial()));
  // A third says nothing, a third stops in its head, a third in its body.
  await Promise.all(
    sockets.map((socket, index) => {
      const said = ["", head.slice(0, 40), `${head}{"model":`][index % 3] ?? "";
      return said === "" ? undefined : write(socket, said);
    }),
  );
  const times: number[] = [];
  for (let round = 0; round < 50; round += 1) times.push(await lookMs());
  const still = sockets.filter((socket) => !socket.destroyed).length;
  for (const socket of sockets) socket.destroy();
  const median = times.toSorted((a, b) => a - b)[25] ?? 0;
  console.log(`${still} idle connections: a look takes ${Math.round(median)} ms (median of 50)`);
  expect(still).toBe(IDLE);
});

it(`answers each of ${BURST} requests at once`, async () => {
  const statuses = new Map<number, number>();
  const beginMs = performance.now();
  const send = (index: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const opens = index % 100 === 0;
      const path = opens ? "/batches" : `/batches/${running}`;
      const outgoing = request(
        muster.url + path,
        {
          agent,
          method: opens ? "POST" : "GET",
          headers: { authorization: `Bearer ${muster.apiKey}` },
        },
        (incoming) => {
          const status = incoming.statusCode ?? 0;
          statuses.set(status, (statuses.get(status) ?? 0) + 1);
          let text = "";
          incoming.on("data", (bytes: Buffer) => {
            text += bytes.toString();
          });
          incoming.on("end", () => {
            if (status === 202) ended.push((JSON.parse(text) as BatchObject).id);
            resolve();
          });
        },
      );
      outgoing.on("error", reject);
      outgoing.end(opens ? JSON.stringify({ model: "m", prompts: [`burst ${index}`] }) : undefined);
    });
  await Promise.all(Array.from({ length: BURST }, (_, index) => send(index)));
  const seconds = (performance.now() - beginMs) / 1000;
  console.log(`${BURST} requests in ${seconds.toFixed(1)} s`);
  expect(Object.fromEntries(statuses)).toEqual({ 200: BURST - BURST / 100, 202: BURST / 100 });
}, 240_000);

it("answers whoever sends far too much, once all of it was sent", async () => {
  const long = (mib: number, byte = 0x61) => Buffer.alloc(mib * MIB, byte);
  // Not compressed, though it is gzip: most of it comes behind the place where it is too long. Then
  // what is no gzip, of which nobody hears who inflates no further.
  const stored = gzipSync(long(6), { level: constants.Z_NO_COMPRESSION });
  const zipped = Buffer.concat([stored, long(2, 0xff)]);
  const gzip = { "content-encoding": "gzip" };
  const tooLong = /^The body is longer than \d+ bytes\./;
  const sent: [path: string, says: RegExp, body: Buffer, headers?: Record<string, string>][] = [
    ["/batches", tooLong, long(28)],
    ["/chat/completions", tooLong, long(28)],
    ["/webhook_endpoints", tooLong, long(8)],
    ["/uploads", tooLong, zipped, gzip],
    ["/uploads", /UTF-8/, long(8, 0xff)],
    ["/uploads", /gzip: incorrect header/, long(8), gzip],
    ["/files", /not valid/, long(8), { "content-type": FORM }],
  ];
  for (const [path, says, body, headers] of sent) {
    const response = await muster.fetch(`${muster.url}${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${muster.apiKey}`, ...headers },
      body: new Uint8Array(body),
    });
    const { error } = (await response.json()) as ErrorBody;
    expect([path, error.message]).toEqual([path, expect.stringMatching(says)]);
    expect(response.status).toBe(says === tooLong ? 413 : 400);
  }
}, 120_000);

it("keeps its memory through bodies that are meant to take it", async () => {
  const post = async (
    path: string,
    body: string | Uint8Array<ArrayBuffer>,
    headers: Record<string, string> = {},
  ) => {
    const response = await muster.fetch(`${muster.url}${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${muster.apiKey}`, ...headers },
      body,
    });
    await response.text();
    return response.status;
  };
  const gzip = { "content-encoding": "gzip" };
  const zeros = gzipSync(new Uint8Array(128 * MIB));
  const form = gzipSync(Buffer.concat([Buffer.from(formHead), Buffer.alloc(128 * MIB)]));
  const lines = gzipSync(`{"requests":[${'{"a":1},'.repeat(4_000_000)}`);
  const deep = `{"model":"m","prompts":${"[".repeat(1_000_000)}${"]".repeat(1_000_000)}}`;
  const none = `{"endpoint":"/v1/chat/completions","requests":[${'{"a":1},'.repeat(1_500_000)}{}]}`;
  const attacks: [what: string, status: number, send: () => Promise<number>][] = [
    ["a bomb inline", 413, () => post("/batches", zeros, gzip)],
    ["a bomb as a file", 413, () => post("/files", form, { ...gzip, "content-type": FORM })],
    ["a bomb of small requests", 413, () => post("/messages/batches", lines, gzip)],
    ["a bomb for one call", 413, () => post("/chat/completions", zeros, gzip)],
    ["brackets a million deep", 400, () => post("/batches", deep)],
    ["a million requests that are none", 400, () => post("/batches", none)],
  ];
  for (const [what, status, send] of attacks) {
    let isOver = false;
    const sent = send().finally(() => {
      isOver = true;
    });
    let slowestMs = 0;
    while (!isOver) slowestMs = Math.max(slowestMs, await lookMs());
    expect([what, await sent]).toEqual([what, status]);
    console.log(`${what}: slowest look meanwhile ${Math.round(slowestMs)} ms`);
  }
  const memory = watchMemory(() => muster.pid);
  memory.peakMb();
  const beforeMb = memory.peakMb();
  let slowestMs = 0;
  for (let round = 0; round < LOAD; round += 1) {
    const under = attacks.map(([, , send]) => send());
    slowestMs = Math.max(slowestMs, await lookMs());
    await Promise.all(under);
  }
  const grownMb = memory.peakMb() - beforeMb;
  memory.stop();
  console.log(
    `${LOAD} × ${attacks.length} bodies that come to 128 MiB each: ${beforeMb} MB before, ${grownMb} MB more at most; slowest look meanwhile ${Math.round(slowestMs)} ms`,
  );
  expect(grownMb).toBeLessThan(256);
}, 240_000);

it("and the batch that ran beside all that ends exactly", async () => {
  const end = await until(
    () => look(running),
    ({ status }) => status === "completed",
    240_000,
  );
  expect(end.request_counts).toEqual({ total: TASKS, completed: TASKS, failed: 0 });
  const response = await muster.get(`/batches/${running}/results`, { accept: "application/jsonl" });
  const ids = (await response.text())
    .trimEnd()
    .split("\n")
    .map((line) => (JSON.parse(line) as { custom_id: string }).custom_id);
  expect(new Set(ids).size).toBe(TASKS);
  for (const id of ended) {
    const short = await until(
      () => look(id),
      ({ status }) => status === "completed",
    );
    expect(short.request_counts).toEqual({ total: 1, completed: 1, failed: 0 });
  }
  const { answered, answeredPrompts } = muster.simulator.stats();
  expect(answered).toBe(answeredPrompts);
}, 300_000);
