import { describe, expect, test } from "vitest";
import { ConfigError, parseConfig } from "../../src/config.ts";

const OPENAI = { name: "openai", base_url: "https://api.openai.com/v1" };

function read(list: unknown, vars: Record<string, unknown> = {}) {
  return parseConfig({ UPSTREAMS: JSON.stringify(list), ...vars }).upstreams;
}

/** The problems that these variables have. */
function problems(upstreams: unknown, vars: Record<string, unknown> = {}): string[] {
  try {
    parseConfig({ UPSTREAMS: upstreams, ...vars });
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe("UPSTREAMS", () => {
  test("takes an entry of two members, and the variables' defaults", () => {
    const vars = {
      UPSTREAM_MAX_CONCURRENCY: "7",
      UPSTREAM_TIMEOUT_MS: "9000",
      UPSTREAM_IDLE_TIMEOUT_MS: "7000",
    };
    expect(read([OPENAI], vars)).toEqual([
      {
        name: "openai",
        baseUrl: "https://api.openai.com/v1",
        apis: ["openai"],
        models: ["*"],
        quotas: [{ name: "openai", models: ["*"], limits: { maxConcurrency: 7 } }],
        timeoutMs: 9000,
        streamChat: false,
        idleTimeoutMs: 7000,
      },
    ]);
  });

  test("takes everything that an entry may say", () => {
    const entry = {
      name: "a-1",
      base_url: " https://api.anthropic.com/v1/ ",
      api: "anthropic",
      api_key_secret: "SOME_KEY",
      models: ["claude-*"],
      rpm: 50,
      tpm: 30_000,
      burst: 5,
      max_concurrency: 10,
      timeout_ms: 600_000,
      stream_chat: true,
      idle_timeout_ms: 5_000,
      limits: [{ models: ["claude-haiku*"], rpm: 100, max_concurrency: 20 }],
    };
    const [upstream] = read([entry], { SOME_KEY: "sk-ant-1" });
    expect(upstream).toEqual({
      name: "a-1",
      baseUrl: "https://api.anthropic.com/v1",
      apis: ["anthropic"],
      apiKey: "sk-ant-1",
      models: ["claude-*"],
      quotas: [
        {
          name: 'a-1:["claude-haiku*"]',
          models: ["claude-haiku*"],
          limits: { rpm: 100, maxConcurrency: 20 },
        },
        {
          name: "a-1",
          models: ["claude-*"],
          limits: { rpm: 50, tpm: 30_000, burst: 5, maxConcurrency: 10 },
        },
      ],
      timeoutMs: 600_000,
      streamChat: true,
      idleTimeoutMs: 5_000,
    });
  });

  test("gives models whose limits differ their own calls in flight, as many as the upstream's unless told", () => {
    const limits = [{ models: ["o3"], rpm: 5 }];
    const [upstream] = read([{ ...OPENAI, max_concurrency: 8, rpm: 60, tpm: 1000, limits }]);
    expect(upstream?.quotas[0].limits).toEqual({ rpm: 5, maxConcurrency: 8 });
  });

  test("names a quota by its models, so that entries may be moved", () => {
    const one = { models: ["a", "b"], rpm: 1 };
    const two = { models: ["c"], rpm: 2 };
    const names = (limits: unknown[]) =>
      read([{ ...OPENAI, limits }])[0]?.quotas.map(({ name }) => name);
    expect(names([one, two])?.toSorted()).toEqual(
      names([two, { ...one, models: ["b", "a"] }])?.toSorted(),
    );
  });

  test("may be an array in wrangler.toml", () => {
    expect(parseConfig({ UPSTREAMS: [OPENAI] }).upstreams[0]?.name).toBe("openai");
  });

  test("that is not set, or empty, leaves the variables' one upstream", () => {
    const vars = { UPSTREAM_BASE_URL: "https://h.example/v1", UPSTREAMS: " " };
    expect(parseConfig(vars).upstreams.map(({ name }) => name)).toEqual(["default"]);
    expect(parseConfig({}).upstreams).toEqual([]);
  });

  const bad: [what: string, entry: Record<string, unknown>, problem: string][] = [
    ["no name", { name: undefined }, "UPSTREAMS[0].name takes a name of its own"],
    ["a name in capitals", { name: "OpenAI" }, "UPSTREAMS[0].name takes a name of its own"],
    ["a long name", { name: "a".repeat(33) }, "UPSTREAMS[0].name takes"],
    ["no URL", { base_url: undefined }, "UPSTREAMS[0].base_url takes an http(s) URL"],
    ["a URL with a key", { base_url: "https://u:p@h/v1" }, "UPSTREAMS[0].base_url takes"],
    [
      "another API",
      { api: "gemini" },
      "UPSTREAMS[0].api takes openai or anthropic, or a list of both",
    ],
    [
      "a key instead of its name",
      { api_key_secret: "sk-abc" },
      "UPSTREAMS[0].api_key_secret takes",
    ],
    [
      "Muster's own key",
      { api_key_secret: "MUSTER_API_KEYS" },
      "UPSTREAMS[0].api_key_secret takes",
    ],
    ["no models", { models: [] }, "UPSTREAMS[0].models takes a list of model names"],
    ["a model", { models: "gpt-*" }, "UPSTREAMS[0].models takes a list of model names"],
    ["an empty model", { models: [""] }, "UPSTREAMS[0].models[0] takes a list of model names"],
    ["no requests", { rpm: 0 }, "UPSTREAMS[0].rpm takes a whole number of requests a minute"],
    ["a number as text", { tpm: "5" }, "UPSTREAMS[0].tpm takes a whole number of tokens"],
    ["too many calls", { max_concurrency: 10_001 }, "UPSTREAMS[0].max_concurrency takes"],
    ["a short timeout", { timeout_ms: 1 }, "UPSTREAMS[0].timeout_ms takes milliseconds"],
    ["a word for true", { stream_chat: "yes" }, "UPSTREAMS[0].stream_chat takes true or false"],
    ["a member unknown", { key: "x" }, "UPSTREAMS[0] takes the members name, base_url, api"],
    ["limits of nothing", { limits: [{ rpm: 5 }] }, "UPSTREAMS[0].limits[0].models takes a list"],
    [
      "limits twice",
      { limits: [{ models: ["a", "b"] }, { models: ["b", "a"] }] },
      "UPSTREAMS[0].limits[1].models takes models that no earlier entry of limits has",
    ],
  ];
  test.each(bad)("with %s is refused by entry and field", (_, entry, problem) => {
    const [first, ...others] = problems(JSON.stringify([{ ...OPENAI, ...entry }]));
    expect(others).toEqual([]);
    expect(first).toContain(problem);
    expect(first).toMatch(/\.$/);
  });

  test.each([["{"], ["[]"], ['{"name":"a"}'], ["5"], ["null"], ['["openai"]']])(
    "that is %s is refused",
    (text) => {
      const [first, ...others] = problems(text);
      expect(others).toEqual([]);
      expect(first).toMatch(/^UPSTREAMS(\[0\])? takes /);
    },
  );

  test("tells that it is not JSON, and nothing that stands there", () => {
    const [problem] = problems('[{"name": "openai", "base_url": sk-hidden}]');
    expect(problem).toMatch(/^UPSTREAMS takes a JSON array .*\.$/);
    expect(problem).not.toContain("sk-hidden");
  });

  test("has each name once", () => {
    expect(problems(JSON.stringify([OPENAI, OPENAI]))).toEqual([
      expect.stringContaining("UPSTREAMS[1].name takes a name of its own"),
    ]);
  });

  test("names a key that is there", () => {
    const list = JSON.stringify([{ ...OPENAI, api_key_secret: "OPENAI_API_KEY" }]);
    const missing = expect.stringContaining("UPSTREAMS[0].api_key_secret takes a variable");
    expect(problems(list)).toEqual([missing]);
    expect(problems(list, { OPENAI_API_KEY: "" })).toEqual([missing]);
    expect(problems(list, { OPENAI_API_KEY: {} })).toHaveLength(1);
    const [wrong] = problems(list, { OPENAI_API_KEY: "two words" });
    expect(wrong).toContain("OPENAI_API_KEY");
    expect(wrong).not.toContain("words");
  });

  test("is the only place where upstreams are described", () => {
    const vars = { UPSTREAM_BASE_URL: "https://h.example/v1", UPSTREAM_RPM: "5" };
    expect(problems(JSON.stringify([OPENAI]), vars)).toEqual([
      "UPSTREAM_BASE_URL takes no value beside UPSTREAMS: say it there.",
      "UPSTREAM_RPM takes no value beside UPSTREAMS: say it there.",
    ]);
  });
});
