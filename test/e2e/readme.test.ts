import { execFile } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import packageJson from "../../package.json" with { type: "json" };
import { projectDir } from "../../src/cli/workspace.ts";
import type { BatchObject } from "../../src/wire/batch.ts";
import { workloads } from "../bench/workloads.ts";
import { type Running, startTestMuster } from "../support/muster.ts";
import { pageOf, pages } from "../support/pages.ts";
import { until } from "../support/wait.ts";

/** Every command and every program of the README and of all other pages, run as it stands there. */

const blocks = pages.flatMap(({ text: page }) =>
  [...page.matchAll(/```(\w+)\n(.*?)```/gs)].map(([, kind = "", text = ""]) => ({ kind, text })),
);
const textsOf = (kind: string) => blocks.filter((one) => one.kind === kind).map(({ text }) => text);
/** Commands of the shell without comments, those that go over several lines as one. */
const commands = textsOf("sh").flatMap((text) =>
  text
    .replaceAll("\\\n", " ")
    .split("\n")
    .map((line) => line.replace(/ +# .*$/, "").trim())
    .filter((line) => line !== ""),
);
/** A command without the variables that stand before it. */
const bare = (command: string) => command.replace(/^([A-Z_]+=\S+ )+/, "");

const ADMIN_KEY = "sk-muster-readme-admin-key-0123456789";
/** Inside the project, so that programs find their packages; node_modules is nobody's to commit. */
const folder = join(projectDir, "node_modules/.muster-readme");
let muster: Running;
const ids = { BATCH_ID: "", PROJECT_ID: "" };

/** A text of a page with this Muster's address, key and ids in it. */
const here = (text: string) =>
  text
    .replaceAll("http://127.0.0.1:8787/v1", muster.url)
    .replaceAll("http://127.0.0.1:8787", muster.url.replace("/v1", ""))
    .replaceAll("sk-muster-local", muster.apiKey)
    .replaceAll("BATCH_ID", ids.BATCH_ID)
    .replaceAll("PROJECT_ID", ids.PROJECT_ID);

/**
 * The routes that a page has in the first column of its tables, and in lines that begin with one. After
 * `POST /a/b` a further `/c` is `POST /a/c`, `/v1/…` a whole path, and `GET` the same path.
 */
function routesOf(page: string): string[] {
  const lists = [...page.matchAll(/^(?:\| ([^|]*)\||(`POST .*)$)/gm)];
  return lists.flatMap(([, cell = "", line = ""]) => {
    let method = "";
    let path = "";
    return [...(cell || line).matchAll(/`([^`]+)`/g)].flatMap(([, code = ""]) => {
      const [, verb, place] = /^(?:([A-Z]+)(?: |$))?(\/[\w/{}.]*)?(?:\?.*)?$/.exec(code) ?? [];
      if (verb === undefined && place === undefined) return [];
      method = verb ?? method;
      if (method === "") return [];
      const whole = verb !== undefined || place?.startsWith("/v1/");
      if (place !== undefined) path = whole ? place : path.replace(/\/[^/]*$/, place);
      return [`${method} ${path}`];
    });
  });
}

async function run(command: string, args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(command, args, {
    cwd: folder,
    env: {
      ...process.env,
      MUSTER_URL: muster.url,
      MUSTER_API_KEY: muster.apiKey,
      MUSTER_ADMIN_KEY: ADMIN_KEY,
    },
  });
  return stdout;
}

beforeAll(async () => {
  mkdirSync(folder, { recursive: true });
  const api = "openai,anthropic";
  muster = await startTestMuster({}, { MUSTER_ADMIN_KEY: ADMIN_KEY, UPSTREAM_API: api });
  const body = { model: "m", prompts: ["one", "two"] };
  const opened = (await (await muster.post("/batches", body)).json()) as BatchObject;
  ids.BATCH_ID = opened.id;
  await until(
    async () => (await (await muster.get(`/batches/${opened.id}`)).json()) as BatchObject,
    ({ status }) => status === "completed",
  );
  // The files that commands and programs read are as the README has them.
  const line = textsOf("json").find((text) => text.startsWith('{"custom_id"')) ?? "";
  writeFileSync(join(folder, "requests.jsonl"), line);
  for (const command of commands.filter((one) => one.startsWith("printf "))) {
    await run("bash", ["-c", command]);
  }
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await muster?.stop();
});

describe("the README and the other pages", () => {
  test("names only scripts, projects, files and workloads that there are", () => {
    const npm = commands.map(bare).filter((command) => command.startsWith("npm "));
    expect(npm.length).toBeGreaterThan(5);
    for (const command of npm) {
      const [, name = "", rest = ""] = /^npm (?:run )?([\w:-]+)(?: -- (.*))?$/.exec(command) ?? [];
      expect(Object.keys(packageJson.scripts)).toContain(name);
      const words = rest
        .replace(/-t ".*"/, "")
        .split(" ")
        .filter(Boolean);
      const known = {
        test: (word: string) =>
          /^(--project|node|worker|e2e)$/.test(word) ||
          ["", ".test.ts", ".worker.test.ts"].some((end) =>
            existsSync(join(projectDir, word + end)),
          ),
        bench: (word: string) =>
          word === "--help" || workloads.some((workload) => workload.name === word),
        simulate: (word: string) => /^(--seed|\d+)$/.test(word),
      }[name];
      for (const word of words) expect(known?.(word), `${word} in ${command}`).toBe(true);
    }
  });

  test("has every route of /openapi.json in src/api/README.md, and no other", async () => {
    const address = muster.url.replace(/v1$/, "openapi.json");
    const { paths } = (await (await fetch(address)).json()) as { paths: Record<string, object> };
    const there = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const told = routesOf(pageOf("src/api/README.md")).filter(
      (route) => route !== "GET /openapi.json",
    );
    expect([...new Set(told)].toSorted()).toEqual(there.toSorted());
  });

  test("has no command that no test runs", () => {
    const known = /^(npm |npx muster |curl |printf )/;
    expect(commands.map(bare).filter((command) => !known.test(command))).toEqual([]);
  });

  test.each(commands.filter((command) => command.startsWith("curl ")))("%s", async (command) => {
    const answer = await run("bash", ["-c", here(command)]);
    expect(answer).not.toBe("");
    if (command.includes("/events")) return expect(answer).toContain("event: end");
    const json = JSON.parse(answer) as { id?: string; error?: unknown };
    expect(json.error).toBeUndefined();
    if (/organization\/projects /.test(command)) ids.PROJECT_ID = json.id ?? "";
    return undefined;
  });

  test.each(commands.filter((command) => command.startsWith("npx muster ")))(
    "%s",
    async (command) => {
      const [name = ""] = command.split(" ").slice(2);
      const main = join(projectDir, "src/cli/muster.mjs");
      const args = command
        .split(" ")
        .slice(2)
        .filter((word) => word !== "");
      const said = await run(process.execPath, [main, ...args]);
      expect(said, name).not.toBe("");
    },
  );

  test.each(
    textsOf("ts")
      .filter((text) => /^const client = new/.test(text))
      .map((text) => [/new (\w+)/.exec(text)?.[1] ?? "", text] as const),
  )("the program with %s", async (_, text) => {
    // What the README says in words: that the end is waited for.
    const waits = text.replace(
      /\/\/ … until (.+?) is "(\w+)" …/,
      (_, what: string, value: string) => {
        const ask = what.startsWith("batch.")
          ? what.replace(/^batch/, "(await client.batches.retrieve(batch.id))")
          : what;
        return `while (${ask} !== "${value}") await new Promise((resolve) => setTimeout(resolve, 50));
            ${what.startsWith("batch.") ? "Object.assign(batch, await client.batches.retrieve(batch.id));" : ""}`;
      },
    );
    expect(waits).toContain("while (");
    const program = [
      'import fs from "node:fs";',
      'import OpenAI from "openai";',
      'import Anthropic from "@anthropic-ai/sdk";',
      here(waits),
      'console.log("ran to its end");',
    ].join("\n");
    const file = join(folder, "program.mjs");
    writeFileSync(file, program);
    expect(await run(process.execPath, [file])).toContain("ran to its end");
  });
});
