import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ConfigError, parseConfig, readConfig, variables } from "../src/config.ts";

/** These have files of their own. */
const ELSEWHERE = ["UPSTREAMS", "PRICES"] as const;
type Variable = Exclude<keyof typeof variables.shape, (typeof ELSEWHERE)[number]>;
type Vars = Record<string, unknown>;

const UPSTREAM = { UPSTREAM_BASE_URL: "http://127.0.0.1:8080/v1", UPSTREAM_ALLOW_PRIVATE: "1" };

/** The one upstream that variables describe, and its limits. */
const upstreamOf = (vars: Vars) => parseConfig(vars).upstreams[0];
const limitsOf = (vars: Vars) => upstreamOf(vars)?.quotas[0].limits;

/** What a variable comes to in the checked configuration. */
const READ: Record<Variable, (vars: Vars) => unknown> = {
  MUSTER_API_KEYS: (vars) => parseConfig(vars).apiKeys,
  MUSTER_ADMIN_KEY: (vars) => parseConfig(vars).adminKey,
  UPSTREAM_BASE_URL: (vars) => upstreamOf({ ...UPSTREAM, ...vars })?.baseUrl,
  UPSTREAM_API: (vars) => upstreamOf({ ...UPSTREAM, ...vars })?.apis,
  UPSTREAM_API_KEY: (vars) => upstreamOf({ ...UPSTREAM, ...vars })?.apiKey,
  UPSTREAM_RPM: (vars) => limitsOf({ ...UPSTREAM, ...vars })?.rpm,
  UPSTREAM_TPM: (vars) => limitsOf({ ...UPSTREAM, ...vars })?.tpm,
  UPSTREAM_BURST: (vars) => limitsOf({ ...UPSTREAM, ...vars })?.burst,
  UPSTREAM_MAX_CONCURRENCY: (vars) => limitsOf({ ...UPSTREAM, ...vars })?.maxConcurrency,
  UPSTREAM_TIMEOUT_MS: (vars) => upstreamOf({ ...UPSTREAM, ...vars })?.timeoutMs,
  UPSTREAM_STREAM_CHAT: (vars) => upstreamOf({ ...UPSTREAM, ...vars })?.streamChat,
  UPSTREAM_IDLE_TIMEOUT_MS: (vars) => upstreamOf({ ...UPSTREAM, ...vars })?.idleTimeoutMs,
  UPSTREAM_ALLOW_PRIVATE: (vars) => parseConfig(vars).upstreamAllowPrivate,
  WEBHOOK_ALLOW_PRIVATE: (vars) => parseConfig(vars).webhookAllowPrivate,
  CONSUMER_LANES: (vars) => parseConfig(vars).lanes,
  CONSUMER_STREAM_LANES: (vars) => parseConfig(vars).streamLanes,
  CONSUMER_SUBREQUESTS: (vars) => parseConfig(vars).subrequests,
  CONSUMER_BACKGROUND: (vars) => parseConfig(vars).background,
  CONSUMER_SLICE_MS: (vars) => parseConfig(vars).sliceMs,
  CLAIM_TTL_MS: (vars) => parseConfig(vars).claimTtlMs,
  RETENTION_HOURS: (vars) => parseConfig(vars).retentionMs / 3_600_000,
  RETRY_MAX_ATTEMPTS: (vars) => parseConfig(vars).retry.maxAttempts,
  RETRY_BASE_MS: (vars) => parseConfig(vars).retry.baseMs,
  RETRY_MAX_MS: (vars) => parseConfig(vars).retry.maxMs,
  PROJECT_MAX_OPEN_BATCHES: (vars) => parseConfig(vars).quotas.openBatches,
  PROJECT_MAX_WAITING_TASKS: (vars) => parseConfig(vars).quotas.waitingTasks,
  PROJECT_MAX_STORED_BYTES: (vars) => parseConfig(vars).quotas.storedBytes,
  PROJECT_RPM: (vars) => parseConfig(vars).quotas.requestsPerMinute,
};
const isPlain = (name: string): name is Variable => !ELSEWHERE.some((other) => other === name);
const NAMES = Object.keys(variables.shape).filter(isPlain);

/** The default when it is unset, texts it takes and what they come to. */
const TAKES: Record<Variable, { unset: unknown; taken: [string, unknown][] }> = {
  MUSTER_API_KEYS: {
    unset: [],
    taken: [
      ["acme:12345678", [{ project: "acme", key: "12345678" }]],
      [
        " a:sk-12345678 , b_2-c:sk:with:colons!~ ",
        [
          { project: "a", key: "sk-12345678" },
          { project: "b_2-c", key: "sk:with:colons!~" },
        ],
      ],
      [
        "a:first-key,a:second-key",
        [
          { project: "a", key: "first-key" },
          { project: "a", key: "second-key" },
        ],
      ],
      [`${"p".repeat(64)}:${"k".repeat(512)}`, [{ project: "p".repeat(64), key: "k".repeat(512) }]],
    ],
  },
  MUSTER_ADMIN_KEY: {
    unset: undefined,
    taken: [[` ${"k".repeat(24)} `, "k".repeat(24)]],
  },
  UPSTREAM_BASE_URL: {
    unset: UPSTREAM.UPSTREAM_BASE_URL,
    taken: [
      ["https://api.openai.com/v1", "https://api.openai.com/v1"],
      ["https://api.openai.com/v1/", "https://api.openai.com/v1"],
      ["https://api.openai.com/v1///", "https://api.openai.com/v1"],
      ["https://api.openai.com", "https://api.openai.com"],
      ["https://api.openai.com/", "https://api.openai.com"],
      [" http://localhost:11434/v1 ", "http://localhost:11434/v1"],
      ["http://[::1]:8080/a/b", "http://[::1]:8080/a/b"],
    ],
  },
  UPSTREAM_API: {
    unset: ["openai"],
    taken: [
      ["openai", ["openai"]],
      [" anthropic ", ["anthropic"]],
      ["anthropic, openai", ["openai", "anthropic"]],
    ],
  },
  UPSTREAM_API_KEY: { unset: undefined, taken: [[" sk-abc:DEF_123 ", "sk-abc:DEF_123"]] },
  UPSTREAM_RPM: {
    unset: undefined,
    taken: [
      ["1", 1],
      ["600", 600],
      ["1000000000000", 1e12],
    ],
  },
  UPSTREAM_TPM: { unset: undefined, taken: [["90000", 90_000]] },
  UPSTREAM_BURST: { unset: undefined, taken: [[" 10 ", 10]] },
  UPSTREAM_MAX_CONCURRENCY: {
    unset: 50,
    taken: [
      ["1", 1],
      ["10000", 10_000],
    ],
  },
  UPSTREAM_TIMEOUT_MS: {
    unset: 120_000,
    taken: [
      ["100", 100],
      ["600000", 600_000],
    ],
  },
  UPSTREAM_ALLOW_PRIVATE: {
    unset: false,
    taken: [
      ["0", false],
      ["1", true],
    ],
  },
  WEBHOOK_ALLOW_PRIVATE: {
    unset: false,
    taken: [
      ["0", false],
      ["1", true],
    ],
  },
  CONSUMER_LANES: {
    unset: 6,
    taken: [
      ["1", 1],
      ["10000", 10_000],
    ],
  },
  CONSUMER_SUBREQUESTS: {
    unset: 9_000,
    taken: [
      ["10", 10],
      ["1000000000", 1_000_000_000],
    ],
  },
  CLAIM_TTL_MS: {
    unset: 30_000,
    taken: [
      ["1000", 1000],
      ["600000", 600_000],
    ],
  },
  UPSTREAM_STREAM_CHAT: {
    unset: false,
    taken: [
      ["0", false],
      ["1", true],
    ],
  },
  UPSTREAM_IDLE_TIMEOUT_MS: {
    unset: 60_000,
    taken: [
      ["100", 100],
      ["600000", 600_000],
    ],
  },
  CONSUMER_STREAM_LANES: {
    unset: 30,
    taken: [
      // Never fewer than calls that are not streamed get.
      ["1", 6],
      ["10000", 10_000],
    ],
  },
  CONSUMER_SLICE_MS: {
    unset: undefined,
    taken: [
      ["1000", 1000],
      ["600000", 600_000],
    ],
  },
  CONSUMER_BACKGROUND: {
    unset: false,
    taken: [
      ["0", false],
      ["1", true],
    ],
  },
  RETENTION_HOURS: {
    unset: 720,
    taken: [
      ["1", 1],
      ["87600", 87_600],
    ],
  },
  RETRY_MAX_ATTEMPTS: {
    unset: 8,
    taken: [
      ["1", 1],
      ["100", 100],
    ],
  },
  RETRY_BASE_MS: {
    unset: 500,
    taken: [
      ["1", 1],
      ["60000", 60_000],
    ],
  },
  RETRY_MAX_MS: {
    unset: 60_000,
    taken: [
      ["1", 1],
      ["3600000", 3_600_000],
    ],
  },
  PROJECT_MAX_OPEN_BATCHES: { unset: null, taken: [["1", 1]] },
  PROJECT_MAX_WAITING_TASKS: { unset: null, taken: [["100000", 100_000]] },
  PROJECT_MAX_STORED_BYTES: { unset: null, taken: [["1000000000000000", 1e15]] },
  PROJECT_RPM: { unset: null, taken: [["600", 600]] },
};

const NOT_WHOLE = ["-1", "+5", "1.5", "1e3", "0x10", "1_000", "1,000", "5 5", "ten", "NaN", "٣"];

/** Texts a variable does not take, and words of the message that says what it does. */
const REFUSES: Record<Variable, { texts: string[]; says: string }> = {
  MUSTER_API_KEYS: {
    texts: [
      "no-colon-at-all",
      ":12345678",
      "acme:",
      "acme:1234567",
      "Acme:12345678",
      "-acme:12345678",
      "ac/me:12345678",
      `${"p".repeat(65)}:12345678`,
      `acme:${"k".repeat(513)}`,
      "acme:1234 5678",
      "acme:schlüssel",
      "a:12345678,",
      "a:12345678,,b:87654321",
    ],
    says: "project:key pairs separated by commas",
  },
  MUSTER_ADMIN_KEY: {
    texts: ["k".repeat(23), "k".repeat(513), `${"k".repeat(24)} k`, "schlüssel".repeat(4)],
    says: "a secret of 24 to 512 printable characters",
  },
  UPSTREAM_BASE_URL: {
    texts: [
      "api.openai.com/v1",
      "/v1",
      "ftp://files.example",
      "file:///etc/passwd",
      "javascript:alert(1)",
      "https://",
      "https://user@host.example/v1",
      "https://user:hunter22@host.example/v1",
      "https://:hunter22@host.example/v1",
      "https://host.example/v1?api-version=1",
      "https://host.example/v1?",
      "https://host.example/v1#part",
      "https://host.example/v1#",
    ],
    says: "an http(s) URL without query or fragment",
  },
  UPSTREAM_API: {
    texts: ["OpenAI", "gemini", "openai,gemini", "openai,,anthropic", "openai anthropic"],
    says: "openai or anthropic, or both as openai,anthropic",
  },
  UPSTREAM_API_KEY: {
    texts: ["sk-with space", "sk-with\nnewline", "schlüssel-123", "sk-\u0000nul"],
    says: "the upstream's key, printable and without spaces",
  },
  UPSTREAM_RPM: {
    texts: ["0", "1000000000001", "9".repeat(400), ...NOT_WHOLE],
    says: "a whole number of requests a minute, at least 1",
  },
  UPSTREAM_TPM: { texts: ["0", ...NOT_WHOLE], says: "a whole number of tokens a minute" },
  UPSTREAM_BURST: { texts: ["0", ...NOT_WHOLE], says: "a whole number of requests at once" },
  UPSTREAM_MAX_CONCURRENCY: {
    texts: ["0", "10001", ...NOT_WHOLE],
    says: "a whole number of calls in flight, 1 to 10000",
  },
  UPSTREAM_TIMEOUT_MS: {
    texts: ["0", "99", "600001", ...NOT_WHOLE],
    says: "milliseconds for one call, 100 to 600000",
  },
  UPSTREAM_ALLOW_PRIVATE: { texts: ["2", "true", "yes", "01"], says: "0 or 1" },
  WEBHOOK_ALLOW_PRIVATE: { texts: ["2", "true", "yes", "no", "01"], says: "0 or 1" },
  UPSTREAM_STREAM_CHAT: { texts: ["2", "true", "yes", "01"], says: "0 or 1" },
  UPSTREAM_IDLE_TIMEOUT_MS: {
    texts: ["99", "600001", ...NOT_WHOLE],
    says: "milliseconds a stream that has begun may be silent, 100 to 600000",
  },
  CONSUMER_STREAM_LANES: {
    texts: ["0", "10001", ...NOT_WHOLE],
    says: "streamed calls in flight in one consumer invocation, 1 to 10000",
  },
  CONSUMER_BACKGROUND: { texts: ["2", "true", "yes", "01"], says: "0 or 1" },
  CONSUMER_SLICE_MS: {
    texts: ["999", "600001", ...NOT_WHOLE],
    says: "milliseconds one consumer invocation takes tasks for",
  },
  CONSUMER_LANES: {
    texts: ["0", "10001", ...NOT_WHOLE],
    says: "calls in flight in one consumer invocation, 1 to 10000",
  },
  CONSUMER_SUBREQUESTS: {
    texts: ["0", "9", "1000000001", ...NOT_WHOLE],
    says: "subrequests one consumer invocation spends, 10 to 1000000000",
  },
  CLAIM_TTL_MS: {
    texts: ["999", "600001", ...NOT_WHOLE],
    says: "milliseconds a silent consumer keeps its tasks, 1000 to 600000",
  },
  RETENTION_HOURS: {
    texts: ["0", "87601", ...NOT_WHOLE],
    says: "hours that ended batches and uploaded files are kept, 1 to 87600",
  },
  RETRY_MAX_ATTEMPTS: {
    texts: ["0", "101", ...NOT_WHOLE],
    says: "attempts a failing task gets, 1 to 100",
  },
  RETRY_BASE_MS: { texts: ["0", "60001", ...NOT_WHOLE], says: "the first retry's longest wait" },
  RETRY_MAX_MS: { texts: ["0", "3600001", ...NOT_WHOLE], says: "any retry's longest wait" },
  PROJECT_MAX_OPEN_BATCHES: {
    texts: ["0", "1000000000000001", ...NOT_WHOLE],
    says: "batches of one project",
  },
  PROJECT_MAX_WAITING_TASKS: {
    texts: ["0", "1000000000000001", ...NOT_WHOLE],
    says: "tasks of one project",
  },
  PROJECT_MAX_STORED_BYTES: {
    texts: ["0", "1000000000000001", ...NOT_WHOLE],
    says: "bytes of one project",
  },
  PROJECT_RPM: {
    texts: ["0", "1000000000000001", ...NOT_WHOLE],
    says: "requests a minute of one project",
  },
};

/** The error that these variables get. */
function errorOf(vars: Vars): ConfigError {
  try {
    parseConfig(vars);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error("these variables are a configuration");
}

/** Everything of an error that may end up in a log or an answer. */
function shown(error: ConfigError): string {
  return [error.message, error.stack, String(error.cause), JSON.stringify(error)].join("\n");
}

describe.each(NAMES)("%s", (name) => {
  const { unset, taken } = TAKES[name];
  const { texts, says } = REFUSES[name];

  test("has its default when unset, and when empty or blank", () => {
    expect(READ[name]({})).toEqual(unset);
    for (const blank of [undefined, "", " ", "\t\n"]) {
      if (name === "UPSTREAM_BASE_URL") {
        expect(upstreamOf({ [name]: blank })).toBeUndefined();
      } else expect(READ[name]({ [name]: blank })).toEqual(unset);
    }
  });

  test.each(taken)("takes %j", (text, value) => {
    expect(READ[name]({ [name]: text })).toEqual(value);
  });

  test.each(texts)("refuses %j, once, by its name and with what it takes", (text) => {
    const { problems } = errorOf({ [name]: text });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(new RegExp(`^${name} takes [^\\n]+\\.$`));
    expect(problems[0]).toContain(says);
  });
});

test("takes a number or a boolean of wrangler.toml for its text", () => {
  expect(limitsOf({ UPSTREAM_BASE_URL: "https://h.example/v1", UPSTREAM_RPM: 600 })?.rpm).toBe(600);
  expect(errorOf({ UPSTREAM_RPM: 600.5 }).problems).toEqual([
    expect.stringContaining(REFUSES.UPSTREAM_RPM.says),
  ]);
});

describe("MUSTER_API_KEYS", () => {
  test("refuses one key for two projects, or twice for one", () => {
    for (const text of ["a:same-key-1,b:same-key-1", "a:same-key-1,a:same-key-1"]) {
      expect(errorOf({ MUSTER_API_KEYS: text }).problems).toEqual([
        "MUSTER_API_KEYS takes keys that are all different.",
      ]);
    }
  });
});

describe("MUSTER_ADMIN_KEY", () => {
  test("refuses a key that opens a project", () => {
    const key = "k".repeat(24);
    const { problems } = errorOf({ MUSTER_API_KEYS: `a:${key}`, MUSTER_ADMIN_KEY: key });
    expect(problems).toEqual(["MUSTER_ADMIN_KEY takes a secret that is none of MUSTER_API_KEYS."]);
  });
});

describe("an upstream", () => {
  test("is absent without a base URL, whatever else is set", () => {
    expect(upstreamOf({})).toBeUndefined();
    expect(upstreamOf({ UPSTREAM_API_KEY: "sk-1", UPSTREAM_RPM: "5" })).toBeUndefined();
  });

  test("has only the limits that are set", () => {
    expect(limitsOf({ ...UPSTREAM, UPSTREAM_RPM: "60" })).toEqual({
      rpm: 60,
      maxConcurrency: 50,
      probes: true,
    });
  });

  test("is checked even when it is not used", () => {
    expect(errorOf({ UPSTREAM_RPM: "many" }).problems).toHaveLength(1);
  });

  test("has a base URL that paths are put behind with one slash", () => {
    fc.assert(
      fc.property(fc.webUrl({ withQueryParameters: false }), fc.nat({ max: 4 }), (url, slashes) => {
        const text = url.replace(/\/*$/, "") + "/".repeat(slashes);
        const upstream = upstreamOf({ UPSTREAM_BASE_URL: text, UPSTREAM_ALLOW_PRIVATE: "1" });
        expect(upstream?.baseUrl).not.toMatch(/\/$/);
        expect(upstream?.baseUrl).toBe(new URL(text).href.replace(/\/*$/, ""));
      }),
    );
  });
});

describe("an upstream's address", () => {
  const says = (url: string, vars: Vars = {}) =>
    errorOf({ UPSTREAM_BASE_URL: url, ...vars })?.problems.join("\n");
  test.each([
    ["http://api.openai.com/v1", "must begin with https://"],
    ["https://10.0.0.7/v1", "10.0.0.7, a private address"],
    ["https://0x7f.1/v1", "127.0.0.1, a loopback address"],
    ["https://[::ffff:169.254.169.254]/v1", "a link-local address"],
    ["https://[64:ff9b::7f00:1]/v1", "a special-purpose address"],
    ["https://100.64.0.1/v1", "a carrier-grade NAT address"],
    ["https://vllm.internal/v1", "vllm.internal, a local name"],
  ])("%s is refused, with what allows it", (url, words) => {
    expect(says(url)).toContain(`The base URL of the upstream default`);
    expect(says(url)).toContain(words);
    expect(says(url)).toContain("UPSTREAM_ALLOW_PRIVATE=1");
  });
  test("is judged in UPSTREAMS, too, by the name of the upstream", () => {
    const list = JSON.stringify([{ name: "near", base_url: "https://192.168.1.2/v1" }]);
    expect(errorOf({ UPSTREAMS: list })?.problems[0]).toMatch(/upstream near .*private address/);
  });
  test.each(["http://169.254.169.254/v1", "http://metadata.google.internal/v1"])(
    "%s is refused even where private ones are allowed",
    (url) => {
      expect(says(url, { UPSTREAM_ALLOW_PRIVATE: "1" })).toMatch(/link-local|metadata/);
    },
  );
});

describe("a ConfigError", () => {
  test("tells all problems together, a line each", () => {
    const error = errorOf({
      MUSTER_API_KEYS: "nonsense",
      UPSTREAM_BASE_URL: "nonsense",
      RETRY_MAX_ATTEMPTS: "0",
      CONSUMER_LANES: "5",
    });
    expect(error.name).toBe("ConfigError");
    expect(error.problems.map((problem) => problem.split(" ")[0])).toEqual([
      "MUSTER_API_KEYS",
      "UPSTREAM_BASE_URL",
      "RETRY_MAX_ATTEMPTS",
    ]);
    expect(error.message).toBe(error.problems.join("\n"));
  });

  test.each(NAMES)("never repeats the value of %s", (name) => {
    const value = "s3cr3t v\u00e4lue!,x";
    const error = errorOf({ [name]: value });
    for (const part of [value, "s3cr3t", "v\u00e4lue"]) expect(shown(error)).not.toContain(part);
  });

  test("repeats no right value beside a wrong one", () => {
    const secrets = {
      MUSTER_API_KEYS: "acme:topsecretkey",
      UPSTREAM_BASE_URL: "https://hidden-host.example/v1",
      UPSTREAM_API_KEY: "sk-upstreamsecret",
    };
    const text = shown(errorOf({ ...secrets, UPSTREAM_RPM: "zero" }));
    for (const secret of ["acme", "topsecretkey", "hidden-host", "sk-upstreamsecret", "zero"]) {
      expect(text).not.toContain(secret);
    }
  });

  test("does not repeat the keys of a pair list that is wrong in one pair only", () => {
    const text = shown(errorOf({ MUSTER_API_KEYS: "acme:topsecretkey,Bad:otherkey1" }));
    for (const secret of ["acme", "topsecretkey", "Bad", "otherkey1"]) {
      expect(text).not.toContain(secret);
    }
  });
});

describe("a Worker's env", () => {
  test("may hold bindings and variables that are not settings", () => {
    expect(parseConfig({ FILES: {}, TASKS: () => 0, PATH: "/bin" })).toEqual(parseConfig({}));
  });

  test("is checked once", () => {
    const env = { CONSUMER_LANES: "7" };
    const config = readConfig(env);
    expect(config.lanes).toBe(7);
    expect(readConfig(env)).toBe(config);
    expect(readConfig({ ...env })).not.toBe(config);
  });

  test("that is wrong is refused each time", () => {
    const env = { CONSUMER_LANES: "none" };
    expect(() => readConfig(env)).toThrow(ConfigError);
    expect(() => readConfig(env)).toThrow(ConfigError);
  });
});
