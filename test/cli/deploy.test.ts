import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { expect, onTestFinished, test } from "vitest";
import { pick } from "../../src/cli/deploy/account.ts";
import { type Account, type Cloudflare, startCloudflare } from "../support/cloudflare.ts";
import { type Command, PATIENT, run } from "./support.ts";

const TOKEN = "token-of-the-account";
const UPSTREAM = {
  UPSTREAM_BASE_URL: "https://api.openai.com/v1",
  UPSTREAM_API_KEY: "sk-upstream-canary",
};

async function cloudflare(subdomain?: string): Promise<Cloudflare> {
  const api = await startCloudflare(TOKEN);
  api.account.subdomain = subdomain;
  onTestFinished(() => api.close());
  return api;
}

/** Runs `npm run deploy`'s command with nobody at the terminal. */
function deploy(api: Cloudflare, env: Record<string, string> = {}): Command {
  return run("deploy.ts", [], {
    CLOUDFLARE_API_BASE_URL: api.url,
    CLOUDFLARE_API_TOKEN: TOKEN,
    CLOUDFLARE_ACCOUNT_ID: api.accountId,
    CLOUDFLARE_CF_FETCH_ENABLED: "false",
    ...env,
  });
}

const keyIn = ({ secrets }: Account) => secrets.MUSTER_API_KEYS?.replace(/^default:/, "");

test("takes a new account to a service with a URL and a key, and can be run again", {
  timeout: PATIENT,
}, async () => {
  const api = await cloudflare("mine");
  const first = deploy(api, UPSTREAM);
  expect(await first.exited, first.stderr()).toBe(0);
  const { account } = api;
  expect(account.queues.sort()).toEqual(["muster-tasks", "muster-tasks-dead"]);
  expect(account.consumed.sort()).toEqual(["muster-tasks", "muster-tasks-dead"]);
  expect(account.buckets).toEqual(["muster-files"]);
  expect(account.secrets).toMatchObject(UPSTREAM);
  const key = keyIn(account);
  expect(key).toMatch(/^sk-muster-[\w-]{43}$/);
  expect(first.stdout()).toContain("Base URL   https://muster.mine.workers.dev/v1\n");
  expect(first.stdout()).toContain(`API key    ${key}\n`);
  expect(first.stdout() + first.stderr()).not.toContain(UPSTREAM.UPSTREAM_API_KEY);

  const again = deploy(api);
  expect(await again.exited, again.stderr()).toBe(0);
  expect(account.uploads).toBe(2);
  expect(keyIn(account)).toBe(key);
  expect(account.secrets).toMatchObject(UPSTREAM);
  expect(account.queues).toHaveLength(2);
  expect(account.buckets).toHaveLength(1);
  expect(again.stdout()).toContain("API key    as before");
  expect(again.stdout()).not.toContain("is not set");
  expect(readdirSync(tmpdir()).filter((name) => name.startsWith("muster-deploy-"))).toEqual([]);
});

test("says what is still missing when nobody can be asked", { timeout: PATIENT }, async () => {
  const api = await cloudflare("mine");
  const command = deploy(api);
  expect(await command.exited, command.stderr()).toBe(0);
  for (const name of Object.keys(UPSTREAM)) {
    expect(command.stdout()).toContain(`${name} is not set, so nothing can be called yet`);
  }
});

test("takes keys from the environment instead of making one", { timeout: PATIENT }, async () => {
  const api = await cloudflare("mine");
  const keys = "mine:sk-of-my-own,other:sk-of-another";
  const command = deploy(api, { ...UPSTREAM, MUSTER_API_KEYS: keys });
  expect(await command.exited, command.stderr()).toBe(0);
  expect(api.account.secrets.MUSTER_API_KEYS).toBe(keys);
  expect(command.stdout()).not.toContain("sk-of-my-own");
});

test("tells the key that it made when it fails behind the upload", {
  timeout: PATIENT,
}, async () => {
  const api = await cloudflare("mine");
  api.account.refused = /^(POST|PUT) \/queues\/./;
  const command = deploy(api, UPSTREAM);
  expect(await command.exited).toBe(1);
  const key = keyIn(api.account);
  expect(key).toMatch(/^sk-muster-/);
  expect(command.stderr()).toContain(`its API key, which is shown this once, is ${key}`);
  api.account.refused = undefined;
  const again = deploy(api);
  expect(await again.exited, again.stderr()).toBe(0);
  expect(again.stdout()).toContain("API key    as before");
});

test("knows Anthropic's API by its address", { timeout: PATIENT }, async () => {
  const api = await cloudflare("mine");
  const command = deploy(api, { ...UPSTREAM, UPSTREAM_BASE_URL: "https://api.anthropic.com" });
  expect(await command.exited, command.stderr()).toBe(0);
  expect(api.account.secrets.UPSTREAM_API).toBe("anthropic");
  expect(command.stdout()).toMatch(/MUSTER_API_KEY=sk-muster-\S+ npx muster doctor/);
});

test("an account is picked by its number or its id", () => {
  const accounts = [
    { id: "a1", name: "One" },
    { id: "b2", name: "Two" },
  ];
  expect(pick(accounts, "2").name).toBe("Two");
  expect(pick(accounts, "a1").name).toBe("One");
  for (const wrong of ["0", "3", "x"]) {
    expect(() => pick(accounts, wrong)).toThrow("take a number from 1 to 2");
  }
});

test("a wrong value is refused before anything is made", { timeout: PATIENT }, async () => {
  const api = await cloudflare("mine");
  const command = deploy(api, { ...UPSTREAM, UPSTREAM_BASE_URL: "api.openai.com" });
  expect(await command.exited).toBe(1);
  expect(command.stderr()).toMatch(/^UPSTREAM_BASE_URL takes an http\(s\) URL/m);
  expect(api.requests.filter((line) => !line.startsWith("GET "))).toEqual([]);
});

test("without a good token it says how to sign in", { timeout: PATIENT }, async () => {
  const api = await cloudflare("mine");
  const command = deploy(api, { CLOUDFLARE_API_TOKEN: "expired" });
  expect(await command.exited).toBe(1);
  expect(command.stderr()).toContain("Run npx wrangler login, or set CLOUDFLARE_API_TOKEN");
});

test("an account without a workers.dev address is told where to get one", {
  timeout: PATIENT,
}, async () => {
  const api = await cloudflare();
  const command = deploy(api, UPSTREAM);
  expect(await command.exited).toBe(1);
  expect(command.stdout() + command.stderr()).toContain("workers/onboarding");
  expect(command.stderr()).toContain("npm run deploy goes on from there");
  expect(api.account.uploads).toBe(0);
});
