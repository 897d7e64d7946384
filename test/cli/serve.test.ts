import { once } from "node:events";
import { createServer } from "node:net";
import { expect, onTestFinished, test, vi } from "vitest";
import { freePort } from "../../src/cli/ports.ts";
import { startMuster } from "../../src/cli/serve.ts";
import { PATIENT, temporaryDir } from "./support.ts";

vi.mock(import("../../src/cli/ports.ts"), { spy: true });

test("somebody took the port meanwhile: starts on another one", { timeout: PATIENT }, async () => {
  const taken = await freePort();
  const server = createServer().listen(taken, "127.0.0.1");
  onTestFinished(() => void server.close());
  await once(server, "listening");
  vi.mocked(freePort).mockResolvedValueOnce(taken);

  const muster = await startMuster({
    stateDir: temporaryDir(),
    vars: { MUSTER_API_KEYS: "a:sk-a" },
  });
  onTestFinished(() => muster.stop());
  expect(muster.url).not.toContain(`:${taken}/`);
  expect((await fetch(new URL("/healthz", muster.url))).status).toBe(200);
});
