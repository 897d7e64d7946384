import { readdirSync } from "node:fs";
import { get } from "node:http";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { startSimulator } from "../../src/simulator/index.ts";
import { type Command, PATIENT, processes, run, temporaryDir } from "./support.ts";

/** Every mark that an env file or a shell could stumble over. */
const ODD_KEY = `sk-odd'"\`$HOME$\{PATH}\\$x\\`;
const ODD_UPSTREAM_KEY = "sk-upstream#'$(x)\\n";

function start(env: Record<string, string> = {}): Command {
  return run("start.ts", [], { PORT: "0", MUSTER_STATE_DIR: temporaryDir(), ...env });
}

function urlIn(command: Command): string {
  return /Base URL +(\S+)/.exec(command.stdout())?.[1] ?? "";
}

/** Processes started by this one, and all of their groups. */
function family(pid: number) {
  const all = processes();
  const groups = new Set(all.filter(({ ppid }) => ppid === pid).map(({ pgid }) => pgid));
  return { groups, members: all.filter(({ pgid }) => groups.has(pgid)) };
}

async function expectGone(groups: ReadonlySet<number>): Promise<void> {
  await vi.waitFor(() => expect(processes().filter(({ pgid }) => groups.has(pgid))).toEqual([]), {
    timeout: 10_000,
    interval: 50,
  });
}

test("refuses arguments, and says where settings go", async () => {
  const command = run("start.ts", ["--port", "8080"], {});
  expect(await command.exited).toBe(1);
  expect(command.stderr()).toContain("takes no arguments, and got: --port 8080\n");
  expect(command.stderr()).toContain("PORT=8080 npm start");
});

test("serves with its settings, shows no secret, and stops on SIGINT", {
  timeout: PATIENT,
}, async () => {
  const command = start({
    MUSTER_API_KEYS: `one:${ODD_KEY}, two:sk-another-key`,
    UPSTREAM_API_KEY: ODD_UPSTREAM_KEY,
    WEBHOOK_ALLOW_PRIVATE: "1",
  });
  await command.says("Ctrl-C stops it");
  const said = command.stdout();
  expect(said).toMatch(/Page +http:\/\/127\.0\.0\.1:\d+\/\n/);
  expect(said).toMatch(/Base URL +http:\/\/127\.0\.0\.1:\d+\/v1\n/);
  expect(said).toContain("API key    the first of MUSTER_API_KEYS  (and 1 more)");
  expect(said).toContain('"Authorization: Bearer $MUSTER_API_KEY"');
  expect(said).toContain("Upstream   the built-in simulator");
  expect(said).toContain("Warning: WEBHOOK_ALLOW_PRIVATE=1");
  for (const key of [ODD_UPSTREAM_KEY, ODD_KEY, "sk-another-key"]) {
    expect(said + command.stderr()).not.toContain(key);
  }

  const list = async (key: string) =>
    (await fetch(`${urlIn(command)}/batches`, { headers: { authorization: `Bearer ${key}` } }))
      .status;
  expect(await list(ODD_KEY)).toBe(200);
  expect(await list("sk-another-key")).toBe(200);
  expect(await list("sk-muster-local")).toBe(401);

  // The local runtime's own door to all storage, which asks for no key.
  for (const path of ["", "/api/workers", "/api/r2/buckets"]) {
    const explorer = await fetch(new URL(`/cdn-cgi/local/explorer${path}`, urlIn(command)));
    expect(explorer.status).toBe(404);
    expect(await explorer.json()).toMatchObject({ error: { code: "not_found" } });
  }

  const { groups, members } = family(command.pid);
  expect(members.some(({ command: line }) => line.includes("workerd"))).toBe(true);
  const shown = processes()
    .map(({ command: line }) => line)
    .join("\n");
  expect(shown).not.toContain(ODD_UPSTREAM_KEY);
  expect(shown).not.toContain("sk-odd");

  command.signal("SIGINT");
  expect(await command.exited).toBe(0);
  expect(command.stdout()).toMatch(/Stopped\.\n$/);
  await expectGone(groups);
});

test("answers a batch, and stops on SIGTERM in the middle of the next", {
  timeout: PATIENT,
}, async () => {
  const simulator = await startSimulator();
  onTestFinished(() => simulator.close());
  const command = start({
    UPSTREAM_BASE_URL: simulator.url,
    UPSTREAM_API_KEY: ODD_UPSTREAM_KEY,
  });
  await command.says("Ctrl-C stops it");
  expect(command.stdout()).toContain(`Upstream   ${simulator.url}\n`);
  const headers = { authorization: "Bearer sk-muster-local", "content-type": "application/json" };
  const post = async (count: number) => {
    const prompts = Array.from({ length: count }, (_, n) => `Question ${count}-${n}`);
    const body = JSON.stringify({ model: "m", prompts });
    const response = await fetch(`${urlIn(command)}/batches`, { method: "POST", headers, body });
    expect(response.status).toBe(202);
    return ((await response.json()) as { id: string }).id;
  };
  const id = await post(5);
  await vi.waitFor(
    async () => {
      const response = await fetch(`${urlIn(command)}/batches/${id}/results`, { headers });
      expect(await response.json()).toMatchObject({ success_count: 5, error_count: 0 });
    },
    { timeout: PATIENT, interval: 100 },
  );
  // As a web page would ask whose own name points at this machine.
  const port = new URL(urlIn(command)).port;
  const asked = { port, path: "/v1/batches", headers: { ...headers, host: `evil.test:${port}` } };
  const foreign = await new Promise((resolve) => {
    get(asked, (response) => resolve(response.resume().statusCode));
  });
  expect(foreign).toBe(401);
  expect(simulator.stats().authorizations).toEqual({ [`Bearer ${ODD_UPSTREAM_KEY}`]: 5 });
  await post(2_000);
  const { groups } = family(command.pid);
  command.signal("SIGTERM");
  expect(await command.exited).toBe(0);
  await expectGone(groups);
});

test("kill -9 leaves no process, no secret and no directory behind", {
  timeout: PATIENT,
}, async () => {
  const temporary = temporaryDir();
  const command = start({ TMPDIR: temporary });
  await command.says("Ctrl-C stops it");
  const { groups, members } = family(command.pid);
  const wrangler = members.find(({ pid, pgid }) => pid === pgid)?.command ?? "";
  const workspace = /--env-file (\S+)\/settings\.env/.exec(wrangler)?.[1] ?? "";
  expect(dirname(workspace)).toBe(temporary);
  expect(readdirSync(workspace)).toContain("settings.env");
  command.signal("SIGKILL");
  await expectGone(groups);
  expect(readdirSync(temporary)).toEqual([expect.stringMatching(/^muster-\w+\.sock$/)]);
});

test("says so and exits with 1 when wrangler dies", { timeout: PATIENT }, async () => {
  const command = start();
  await command.says("Ctrl-C stops it");
  const { groups } = family(command.pid);
  for (const leader of groups) process.kill(leader, "SIGKILL");
  expect(await command.exited).toBe(1);
  expect(command.stderr()).toContain("Muster ended by itself.");
  await expectGone(groups);
});

test("a signal while it starts stops it, too", { timeout: PATIENT }, async () => {
  const command = start();
  const groups = await vi.waitFor(
    () => {
      const found = family(command.pid).groups;
      expect(found.size).toBeGreaterThan(0);
      return found;
    },
    { timeout: PATIENT, interval: 10 },
  );
  command.signal("SIGINT");
  expect(await command.exited).toBe(0);
  expect(command.stdout()).not.toContain("Base URL");
  await expectGone(groups);
});

test("a port in use is one clear line", { timeout: PATIENT }, async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  const port = typeof address === "object" ? address?.port : undefined;
  const command = start({ PORT: String(port) });
  expect(await command.exited).toBe(1);
  expect(command.stderr()).toBe(`Port ${port} on 127.0.0.1 is in use. Set PORT to another one.\n`);
  server.close();
});

test("wrong values are a line each, before anything starts", { timeout: PATIENT }, async () => {
  const stateDir = join(temporaryDir(), "never-made");
  const command = start({ MUSTER_STATE_DIR: stateDir, UPSTREAM_RPM: "fast", PORT: "99999" });
  expect(await command.exited).toBe(1);
  expect(command.stdout()).toBe("");
  const lines = command.stderr().trim().split("\n");
  expect(lines.map((line) => line.split(" takes ")[0])).toEqual(["PORT", "UPSTREAM_RPM"]);
  expect(() => readdirSync(stateDir)).toThrow(/ENOENT/);
});
