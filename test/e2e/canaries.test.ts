import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished, vi } from "vitest";
import { simulatorVars } from "../../src/cli/local-upstream.ts";
import { startMuster } from "../../src/cli/serve.ts";
import { startSimulator } from "../../src/simulator/index.ts";
import { startReceiver } from "../support/receiver.ts";
import { until } from "../support/wait.ts";

/** Strings that nobody would write by accident, one for each kind of secret. */
const KEYS = {
  api: "sk-muster-canary-api-71c4",
  admin: "sk-muster-canary-admin-0f5be2",
  upstream: "sk-canary-upstream-9d2a",
};
const PROMPT = "canary-prompt-5e8b";
/** Every answer of the simulator begins with it. */
const ANSWER = "digest:";

/** All files below a folder, as text that any string in them can be found in. */
function filesBelow(dir: string): { name: string; text: string }[] {
  return readdirSync(dir, { recursive: true, encoding: "utf8" }).flatMap((name) => {
    const path = join(dir, name);
    return statSync(path).isFile() ? [{ name, text: readFileSync(path, "latin1") }] : [];
  });
}

const found = (text: string, words: readonly string[]) =>
  words.filter((word) => text.includes(word));

it("no key, prompt or answer is in anything that the process writes, but its own storage", async () => {
  // Whatever writes a log or a trace of its own does it somewhere in here.
  const home = mkdtempSync(join(tmpdir(), "muster-canaries-"));
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
  for (const name of ["HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"])
    vi.stubEnv(name, home);
  onTestFinished(() => void vi.unstubAllEnvs());
  const stateDir = join(home, "state");
  const receiver = await startReceiver();
  onTestFinished(() => receiver.close());
  const simulator = await startSimulator({
    apiKey: KEYS.upstream,
    latency: { kind: "fixed", ms: 10 },
    faults: [
      { kind: "status", code: 400, match: "[refused]", attempts: "always" },
      { kind: "status", code: 503, match: "[busy]", attempts: "first" },
      { kind: "not_json", match: "[broken]", attempts: "always" },
      { kind: "reset", match: "[reset]", attempts: "always" },
    ],
  });
  onTestFinished(() => simulator.close());
  const lines: string[] = [];
  const muster = await startMuster({
    stateDir,
    onLine: (line) => lines.push(line),
    vars: {
      ...simulatorVars(simulator),
      MUSTER_API_KEYS: `default:${KEYS.api}`,
      MUSTER_ADMIN_KEY: KEYS.admin,
      UPSTREAM_API_KEY: KEYS.upstream,
      WEBHOOK_ALLOW_PRIVATE: "1",
      RETRY_MAX_ATTEMPTS: "2",
      RETRY_BASE_MS: "20",
    },
  });
  let isUp = true;
  const stop = async () => {
    if (isUp) await muster.stop();
    isUp = false;
  };
  onTestFinished(stop);
  const say = async (path: string, init: RequestInit = {}, key = KEYS.api) => {
    const headers = { authorization: `Bearer ${key}`, accept: "application/json" };
    const url = path.startsWith("/v1") ? muster.url.replace(/\/v1$/, path) : `${muster.url}${path}`;
    const response = await fetch(url, { headers, ...init });
    return { status: response.status, text: await response.text() };
  };
  const post = (path: string, body: unknown, key = KEYS.api) =>
    say(path, { method: "POST", body: JSON.stringify(body) }, key);

  // A key that is made while it runs, which storage knows by its hash alone.
  const project = JSON.parse(
    (await post("/organization/projects", { name: "p" }, KEYS.admin)).text,
  );
  const path = `/organization/projects/${project.id}/api_keys`;
  const made = JSON.parse((await post(path, { name: "k" }, KEYS.admin)).text).value as string;
  expect((await say("/batches", {}, made)).status).toBe(200);

  const prompts = ["", "[refused]", "[busy]", "[broken]", "[reset]"].map((m) => `${m} ${PROMPT}`);
  const webhook = { url: `${receiver.url}/ok/canaries` };
  const { id } = JSON.parse((await post("/batches", { model: "m", prompts, webhook })).text);
  const look = async () => JSON.parse((await say(`/batches/${id}`)).text) as { status: string };
  await until(look, ({ status }) => status === "completed");
  await until(
    () => receiver.received.filter(({ path }) => path === "/ok/canaries"),
    (got) => got.length > 0,
  );
  // The canaries sing where they may: in the results, and in the storage.
  const results = (await say(`/batches/${id}/results`)).text;
  expect(found(results, [ANSWER])).toEqual([ANSWER]);

  const secrets = [...Object.values(KEYS), made, PROMPT, ANSWER];
  const told = await Promise.all([
    // Errors that are about bodies, keys and ids.
    post("/batches", { model: "m", prompts: [PROMPT, 7] }),
    post("/batches", { model: PROMPT.repeat(9), promts: [PROMPT] }),
    say("/batches", { method: "POST", body: `{"prompts": ["${PROMPT}" oops]}` }),
    post("/chat/completions", { model: "m", messages: PROMPT }),
    say("/batches", {}, `${KEYS.api}x`),
    say("/batches", {}, "sk-muster-nobody"),
    // What watches it.
    say("/upstreams"),
    say(`/batches/${id}`),
    say(`/batches/${id}/deliveries`),
    say(`/batches/${id}/events`),
    say(`/batches/${id}/events?tasks=none`),
    say(`/batches/${id}/timeline`),
    say("/batches"),
    say("/organization/projects", {}, KEYS.admin),
    say(path, {}, KEYS.admin),
    ...["/healthz", "/readyz", "/metrics", "/openapi.json"].map(async (at) => {
      const headers = { authorization: `Bearer ${KEYS.api}` };
      const response = await fetch(new URL(at, muster.url), { headers });
      return { status: response.status, text: await response.text() };
    }),
  ]);
  for (const { status, text } of told) {
    expect({ status, found: found(text, secrets), text }).toMatchObject({ found: [] });
  }
  for (const { body } of receiver.received) expect(found(body, secrets)).toEqual([]);

  await stop();
  const written = lines.join("\n");
  // It does write: the end of the batch is among it.
  expect(written).toContain("batch_ended");
  expect(found(written, secrets)).toEqual([]);
  for (const { name, text } of filesBelow(home)) {
    const words = name.startsWith("state/")
      ? secrets.filter((word) => word.startsWith("sk-"))
      : secrets;
    expect({ name, found: found(text, words) }).toEqual({ name, found: [] });
  }
  expect(filesBelow(stateDir).some(({ text }) => text.includes(PROMPT))).toBe(true);
});
