import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { BatchObject } from "../../src/wire/batch.ts";
import { type Running, startTestMuster } from "../support/muster.ts";
import { until } from "../support/wait.ts";

/** What clients of single calls can do to a batch beside them, under a real `wrangler dev`. */

/** Calls in flight. */
const CALLS = 2;
const MIB = 1024 * 1024;

const upstream = { endless: 0 };
let server: Server;
let muster: Running;
const sockets: Socket[] = [];

/** An answer that has no end, as fast as it is read. */
function answerEndlessly(response: ServerResponse): void {
  upstream.endless += 1;
  response.on("close", () => {
    upstream.endless -= 1;
  });
  response.setHeader("content-type", "application/octet-stream");
  const chunk = Buffer.alloc(MIB, "x");
  const write = () => {
    while (!response.destroyed && response.write(chunk));
  };
  response.on("drain", write);
  write();
}

beforeAll(async () => {
  server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request.setEncoding("utf8")) text += chunk;
    const { model } = JSON.parse(text);
    if (model === "endless") return answerEndlessly(response);
    response.setHeader("content-type", "application/json");
    response.end('{"object":"chat.completion","choices":[]}');
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  muster = await startTestMuster(
    {},
    {
      UPSTREAM_BASE_URL: `http://127.0.0.1:${port}/v1`,
      UPSTREAM_MAX_CONCURRENCY: `${CALLS}`,
      UPSTREAM_TIMEOUT_MS: "2000",
    },
  );
});

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

afterAll(async () => {
  await muster.stop();
  server.close();
});

/** A client that asks, and never reads the answer. */
function askAndNeverRead(model: string): void {
  const { hostname, port, host } = new URL(muster.url);
  const body = JSON.stringify({ model, messages: [] });
  const head = [
    "POST /v1/chat/completions HTTP/1.1",
    `host: ${host}`,
    `authorization: Bearer ${muster.apiKey}`,
    "content-type: application/json",
    `content-length: ${body.length}`,
  ];
  const socket = connect(Number(port), hostname);
  // Muster closes it, which may be a reset.
  socket.on("error", () => undefined);
  socket.pause();
  socket.write(`${head.join("\r\n")}\r\n\r\n${body}`);
  sockets.push(socket);
}

/** A batch of a few small calls, once it is completed. */
async function batchIsDone(): Promise<BatchObject> {
  const prompts = Array.from({ length: 10 }, (_, index) => `prompt ${index} of ${sockets.length}`);
  const response = await muster.post("/batches", { model: "small", prompts });
  const { id } = (await response.json()) as BatchObject;
  return until(
    async () => (await (await muster.get(`/batches/${id}`)).json()) as BatchObject,
    ({ status }) => status === "completed",
  );
}

describe("clients that never read their answers", () => {
  it("lose them after the upstream's time, and a batch gets their calls", async () => {
    for (let call = 0; call < CALLS; call += 1) askAndNeverRead("endless");
    await until(
      () => upstream.endless,
      (endless) => endless === CALLS,
    );
    expect((await batchIsDone()).request_counts).toMatchObject({ total: 10, completed: 10 });
    await until(
      () => upstream.endless,
      (endless) => endless === 0,
    );
  });
});
