import { resolve } from "node:path";
import { expect, test } from "vitest";
import { readSettings } from "../../src/cli/settings.ts";
import { ConfigError } from "../../src/config.ts";

function problems(env: Record<string, string>): string[] {
  try {
    readSettings(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

test("nothing set: the defaults of a first start", () => {
  const settings = readSettings({});
  expect(settings).toMatchObject({
    port: 8787,
    stateDir: resolve(".wrangler/state"),
    apiKeys: [{ project: "default", key: "sk-muster-local" }],
    simulated: true,
    webhookAllowPrivate: false,
    verbose: false,
    vars: {
      MUSTER_API_KEYS: "default:sk-muster-local",
      CONSUMER_LANES: "50",
      CONSUMER_STREAM_LANES: "50",
    },
  });
  expect(settings.vars).not.toHaveProperty("UPSTREAM_BASE_URL");
});

test.each([
  ["PORT", "http"],
  ["PORT", "65536"],
  ["PORT", "-1"],
  ["PORT", "80.5"],
  ["MUSTER_VERBOSE", "yes"],
  ["MUSTER_API_KEYS", "sk-without-project"],
  ["UPSTREAM_BASE_URL", "api.openai.com"],
  ["UPSTREAM_API_KEY", "two words"],
  ["UPSTREAM_RPM", "0"],
  ["UPSTREAM_TPM", "many"],
  ["UPSTREAM_BURST", "1.5"],
  ["UPSTREAM_MAX_CONCURRENCY", "0"],
  ["UPSTREAM_TIMEOUT_MS", "5"],
  ["WEBHOOK_ALLOW_PRIVATE", "true"],
  ["CONSUMER_LANES", "x"],
  ["CLAIM_TTL_MS", "1"],
  ["RETRY_MAX_ATTEMPTS", "0"],
])("%s=%s is one line that names the variable and what it takes", (name, value) => {
  const [problem, ...others] = problems({ [name]: value });
  expect(others).toEqual([]);
  expect(problem).toMatch(new RegExp(`^${name} takes .+\\.$`));
  expect(problem).not.toContain("\n");
});

test("every wrong variable is named, with no value in it", () => {
  const wrong = { PORT: "x", UPSTREAM_API_KEY: "very secret", UPSTREAM_RPM: "no" };
  const lines = problems(wrong);
  expect(lines.map((line) => line.split(" ")[0])).toEqual([
    "PORT",
    "UPSTREAM_API_KEY",
    "UPSTREAM_RPM",
  ]);
  expect(lines.join("\n")).not.toContain("secret");
});

test("an empty variable is one that is not set", () => {
  expect(readSettings({ PORT: "", UPSTREAM_BASE_URL: " ", UPSTREAM_RPM: "" })).toMatchObject({
    port: 8787,
    simulated: true,
  });
});

test("one invocation gets a lane for each call in flight, unless told", () => {
  const { vars } = readSettings({ UPSTREAM_MAX_CONCURRENCY: "120" });
  expect(vars).toMatchObject({ CONSUMER_LANES: "120", CONSUMER_STREAM_LANES: "120" });
  const told = { UPSTREAM_MAX_CONCURRENCY: "120", CONSUMER_LANES: "7" };
  expect(readSettings(told).vars.CONSUMER_LANES).toBe("7");
});

test("only the Worker's own variables reach the Worker", () => {
  const { vars } = readSettings({ PATH: "/bin", AWS_SECRET: "x", UPSTREAM_API_KEY: "sk-up" });
  expect(Object.keys(vars).sort()).toEqual([
    "CONSUMER_BACKGROUND",
    "CONSUMER_LANES",
    "CONSUMER_STREAM_LANES",
    "CONSUMER_SUBREQUESTS",
    "MUSTER_API_KEYS",
    "UPSTREAM_ALLOW_PRIVATE",
    "UPSTREAM_API_KEY",
  ]);
});
