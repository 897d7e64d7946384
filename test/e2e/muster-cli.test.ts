import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EXIT } from "../../src/cli/muster/exit.ts";
import { temporaryDir } from "../cli/support.ts";
import { type Running, startTestMuster } from "../support/muster.ts";

let muster: Running;
beforeAll(async () => {
  muster = await startTestMuster({
    faults: [{ kind: "status", code: 400, match: "[bad]", attempts: "always" }],
  });
});
afterAll(() => muster.stop());

interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs `npx muster` as a script would: piped. */
function run(args: string[], { stdin = "", env = {} } = {}): Promise<Ran> {
  const command = join(import.meta.dirname, "../../src/cli/muster.mjs");
  const child = spawn(process.execPath, [command, ...args], {
    env: { PATH: process.env.PATH, MUSTER_URL: muster.url, MUSTER_API_KEY: muster.apiKey, ...env },
    stdio: "pipe",
  });
  const ran: Ran = { code: null, stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    ran.stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    ran.stderr += text;
  });
  child.stdin.on("error", () => undefined).end(stdin);
  return new Promise((resolve) => {
    child.on("close", (code) => resolve({ ...ran, code }));
  });
}

const QUESTIONS = "What is 6 x 7?\n\n空はなぜ青い？ 🌊\nName a river.\n";

describe("muster", () => {
  test("goes on with what a budget stopped, by a higher one", async () => {
    const stdin = Array.from({ length: 20 }, (_, n) => `question ${n}\n`).join("");
    const limits = ["--max-tokens", "10", "--max-tokens-total", "60"];
    const stopped = await run(["submit", "-", "-m", "m", ...limits, "--wait"], { stdin });
    expect(stopped.code).toBe(EXIT.tasksFailed);
    const id = /batch_\w+/.exec(stopped.stdout)?.[0] ?? "";
    const retried = await run(["retry", id, "--max-tokens-total", "100000"]);
    expect(retried).toMatchObject({ code: EXIT.ok, stderr: "" });
    const watched = await run(["watch", id]);
    expect(watched.stdout).toBe(`${id}  completed  20 succeeded\n`);
  });

  test("submits prompts, waits, writes results, and prints nothing but the end when piped", async () => {
    const out = join(temporaryDir(), "answers.csv");
    const input = join(temporaryDir(), "prompts.txt");
    writeFileSync(input, QUESTIONS);
    const ran = await run(["submit", input, "--model", "m", "--out", out]);
    expect(ran).toMatchObject({ code: EXIT.ok, stderr: "" });
    expect(ran.stdout).toMatch(/^batch_\w+ {2}completed {2}3 succeeded\n$/);
    const lines = readFileSync(out, "utf8").replace(/\r\n$/, "").split("\r\n");
    expect(lines.map((line) => line.split(",").slice(0, 2).join())).toEqual([
      "\uFEFFcustom_id,status",
      "line-1,succeeded",
      "line-3,succeeded",
      "line-4,succeeded",
    ]);
  });

  test("takes stdin, and gives results on stdout", async () => {
    const ran = await run(["submit", "-", "-m", "m", "--out", "-"], { stdin: QUESTIONS });
    expect(ran).toMatchObject({ code: EXIT.ok, stderr: "" });
    const ids = ran.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).custom_id);
    expect(ids).toEqual(["line-1", "line-3", "line-4"]);
  });

  test("opens a batch, follows it, lists it, shows its tasks, retries it", async () => {
    const stdin = "good\n[bad] <b>one</b>\n";
    const opened = await run(["submit", "-", "-m", "m", "--metadata", "topic=縞馬"], { stdin });
    expect(opened).toMatchObject({ code: EXIT.ok, stderr: "" });
    const id = opened.stdout.trim();
    const watched = await run(["watch", id]);
    expect(watched).toMatchObject({ code: EXIT.tasksFailed, stderr: "" });
    expect(watched.stdout).toBe(`${id}  completed  1 succeeded, 1 failed\n`);

    const listed = await run(["ls", "--search", "縞馬", "--json"]);
    expect(JSON.parse(listed.stdout)).toMatchObject({ id, metadata: { topic: "縞馬" } });
    expect((await run(["ls"])).stdout).toMatch(/^BATCH +STATUS +DONE +FAILED +MODEL +AGE\n/);

    const failed = await run(["tasks", id, "--state", "failed"]);
    expect(failed.stdout).toMatch(/line-2 +failed +1 .*\[bad\] <b>one<\/b>/);
    const one = JSON.parse((await run(["tasks", id, "line-2", "--json"])).stdout);
    expect(one).toMatchObject({ task_id: "line-2", state: "failed" });
    const summary = JSON.parse((await run(["results", id, "--format", "json"])).stdout);
    expect(summary).toMatchObject({ total: 2, success_count: 1, error_count: 1 });

    expect((await run(["retry", id])).stdout).toContain(id);
    expect((await run(["watch", id])).code).toBe(EXIT.tasksFailed);
    const task = JSON.parse((await run(["tasks", id, "line-2", "--json"])).stdout);
    expect(task.attempts).toHaveLength(2);
  });

  test("pauses, resumes and cancels", async () => {
    const stdin = Array.from({ length: 500 }, (_, n) => `question ${n}`).join("\n");
    const args = ["submit", "-", "-m", "m", "--max-concurrency", "1"];
    const id = (await run(args, { stdin })).stdout.trim();
    expect((await run(["pause", id])).stdout).toContain("paused");
    expect((await run(["resume", id])).stdout).not.toContain("paused");
    expect((await run(["cancel", id])).stdout).toMatch(/cancell/);
    expect((await run(["watch", id])).code).toBe(EXIT.notCompleted);
  });

  test("takes the endpoint that the lines name", async () => {
    const body = { model: "m", input: "q" };
    const stdin = JSON.stringify({ custom_id: "a", method: "POST", url: "/v1/embeddings", body });
    const ran = await run(["submit", "-", "--wait", "--json"], { stdin });
    expect(ran).toMatchObject({ code: EXIT.ok, stderr: "" });
    expect(JSON.parse(ran.stdout)).toMatchObject({ endpoint: "/v1/embeddings" });
  });

  test("checks and estimates without opening a batch", async () => {
    const ran = await run(["submit", "-", "-m", "m", "--dry-run", "--json"], { stdin: QUESTIONS });
    expect(ran).toMatchObject({ code: EXIT.ok, stderr: "" });
    expect(JSON.parse(ran.stdout)).toMatchObject({ object: "batch.check", valid: true, tasks: 3 });
  });

  test("names the line of the input that the batch refuses", async () => {
    const line = (id: string) =>
      `{"custom_id":"${id}","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[]}}\n`;
    const stdin = `${line("a")}\n${line("a")}`;
    const ran = await run(["submit", "-", "--wait"], { stdin });
    expect(ran.code).toBe(EXIT.notCompleted);
    expect(ran.stderr).toMatch(/^line 3: .*'a'/);
    const checked = await run(["submit", "-", "--dry-run"], { stdin });
    expect(checked.code).toBe(EXIT.usage);
    expect(JSON.parse(checked.stdout).errors.data).toMatchObject([{ line: 3 }]);
  });

  test("sends no line of an array, nor of what is not UTF-8, and opens nothing", async () => {
    const batches = async () => (await run(["ls", "--json"])).stdout;
    const before = await batches();
    const list = '[\n {"prompt": "a"},\n {"prompt": "b"}\n]\n';
    expect((await run(["submit", "-", "-m", "m"], { stdin: list })).stderr).toBe(
      "stdin:1: is a JSON array, and takes one JSON object a line. jq -c '.[]' makes lines of an array.\n",
    );
    const one = await run(["submit", "-", "-m", "m"], { stdin: '["a", "b"]' });
    expect(one).toMatchObject({
      code: EXIT.usage,
      stderr: expect.stringContaining("stdin:1: is a"),
    });
    const csv = join(temporaryDir(), "sjis.csv");
    writeFileSync(csv, Buffer.from([...Buffer.from("prompt\n"), 0x93, 0xfa, 0x96, 0x7b, 0x0a]));
    expect(await run(["submit", csv, "-m", "m"])).toMatchObject({
      code: EXIT.usage,
      stderr: `${csv}:2: is not UTF-8; save it as UTF-8.\n`,
    });
    expect(await batches()).toBe(before);
  });

  test.each([
    [["submit", "-"], "no model here\n", EXIT.usage, /stdin:1: names no model/],
    [["submit", "-", "-m", "m"], "", EXIT.usage, /There is nothing to send/],
    [["submit", "/no/such/file"], "", EXIT.usage, /There is no file/],
    [["submit", "-", "--input", "xml"], "x", EXIT.usage, /--input takes jsonl, csv, text/],
    [["submit", "-", "--param", "x"], "x", EXIT.usage, /--param takes name=value/],
    [["submit", "-", "-m", "m", "--priority", "1000"], "x", EXIT.usage, /^--priority: /],
    [["submit", "-", "-m", "m", "--window", "5"], "x", EXIT.usage, /^--window: a length of time/],
    [["submit", "-", "-m", "m", "--webhook", "http://x.test/"], "x", EXIT.usage, /^--webhook: /],
    [["submit", "-", "-m", "m", "--template", "{{a}}"], "x", EXIT.usage, /--template is for CSV/],
    [["submit", "-", "-m", "m"], "PK\u0003\0", EXIT.usage, /stdin:1: holds NUL bytes/],
    [["submit", "/tmp", "-m", "m"], "", EXIT.usage, /^\/tmp is a folder/],
    [["submit", "-", "-m", "m", "-o", "/no/such/a.csv"], "x", EXIT.usage, /no folder \/no\/such/],
    [["submit", "-", "-m", "m", "-o", "a.xlsx"], "x", EXIT.usage, /ends in \.jsonl, \.json/],
    [["results", "batch_none", "-o", "/tmp"], "", EXIT.usage, /\/tmp is a folder/],
    [["ls", "--url", "muster.test"], "", EXIT.usage, /--url \(or MUSTER_URL\) takes an address/],
    [["watch", "batch_none"], "", EXIT.error, /No batch with id/],
    [["ls", "--status", "done"], "", EXIT.usage, /Allowed choices are validating, failed/],
    [["tasks", "batch_none", "--state", "x"], "", EXIT.usage, /Allowed choices are pending/],
    [["ls", "--limit", "0"], "", EXIT.usage, /--limit takes/],
    [["frobnicate"], "", EXIT.usage, /unknown command/],
    [["ls", "--key", "sk-wrong-key"], "", EXIT.unauthorized, /--key or MUSTER_API_KEY/],
    [["watch", "x", "--url", "http://127.0.0.1:9"], "", EXIT.unreachable, /Is it running/],
  ])("says what is wrong with %j", async (args, stdin, code, message) => {
    const ran = await run(args, { stdin });
    expect(ran.stderr).toMatch(message);
    expect(ran).toMatchObject({ code, stdout: "" });
    expect(ran.stderr).not.toMatch(/\bat .*:\d+:\d+/);
  });

  test("keeps no file of a batch that was refused", async () => {
    const files = async () => ((await (await muster.get("/files")).json()) as { data: [] }).data;
    const before = (await files()).length;
    const ran = await run(["submit", "-", "-m", "m", "--priority", "0"], { stdin: "x" });
    expect(ran.code).toBe(EXIT.usage);
    expect(await files()).toHaveLength(before);
  });

  test("says that there is nothing to retry, and no more", async () => {
    const id = (await run(["submit", "-", "-m", "m"], { stdin: "good\n" })).stdout.trim();
    await run(["watch", id]);
    const ran = await run(["retry", id]);
    expect(ran.stderr).toBe("Every task of this batch succeeded; there is nothing to retry.\n");
    const results = await run(["results", id, "--format", "csv", "--out", "-"]);
    expect(results).toMatchObject({ code: EXIT.ok, stderr: "" });
    expect(results.stdout).toContain("line-1,succeeded");
  });

  test("keeps the results in Muster when they cannot be written", async () => {
    const out = join(temporaryDir(), "answers.csv");
    mkdirSync(`${out}.part`);
    const ran = await run(["submit", "-", "-m", "m", "--out", out], { stdin: QUESTIONS });
    expect(ran.code).toBe(EXIT.error);
    expect(ran.stderr).toMatch(
      /^EISDIR.*\nMuster keeps the results: npx muster results batch_\w+ --out/,
    );
  });

  test("tells its version, and explains its input", async () => {
    expect((await run(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    const help = (await run(["submit", "--help"])).stdout;
    for (const word of ["--template", "a prompt a line", "Examples:"]) expect(help).toContain(word);
  });

  test("doctor looks at service, settings, key and upstream", async () => {
    const good = await run(["doctor"]);
    expect(good.code).toBe(EXIT.ok);
    expect(good.stdout.match(/^✓ \w+/gm)).toEqual([
      "✓ service",
      "✓ settings",
      "✓ key",
      "✓ upstream",
    ]);
    const refused = await run(["doctor", "--key", "sk-wrong-key"]);
    expect(refused).toMatchObject({ code: EXIT.unauthorized });
    expect(refused.stdout).toContain("✗ key");
    const away = await run(["doctor", "--json", "--url", "http://127.0.0.1:9"]);
    expect(away.code).toBe(EXIT.unreachable);
    expect(JSON.parse(away.stdout)).toMatchObject({ what: "service", good: false });
  });

  test("doctor says when the upstream refuses", async () => {
    const failing = await startTestMuster(
      { apiKey: "sk-the-right-one" },
      { UPSTREAM_API_KEY: "sk-x" },
    );
    try {
      const env = { MUSTER_URL: failing.url, MUSTER_API_KEY: failing.apiKey };
      const ran = await run(["doctor"], { env });
      expect(ran.code).toBe(EXIT.error);
      expect(ran.stdout).toMatch(/✗ upstream +answered 401.*\n +It refuses Muster's key/);
    } finally {
      await failing.stop();
    }
  });

  test("doctor calls an upstream of Anthropic's kind as that asks for it", async () => {
    const other = await startTestMuster({}, { UPSTREAM_API: "anthropic" });
    try {
      const env = { MUSTER_URL: other.url, MUSTER_API_KEY: other.apiKey };
      const ran = await run(["doctor", "--model", "claude-sonnet-5"], { env });
      expect(ran.stdout).toMatch(/✓ upstream +answered for claude-sonnet-5 in/);
      expect(ran.code).toBe(EXIT.ok);
    } finally {
      await other.stop();
    }
  });
});
