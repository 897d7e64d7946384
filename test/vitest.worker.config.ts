import { cloudflareTest } from "@cloudflare/vitest-pool-workers";
import { defineProject } from "vitest/config";

/** Tests inside workerd: real Durable Objects, SQLite, Queues, R2. */
export default defineProject({
  root: new URL("..", import.meta.url).pathname,
  plugins: [
    cloudflareTest(({ inject }) => ({
      wrangler: { configPath: new URL("../wrangler.toml", import.meta.url).pathname },
      miniflare: {
        bindings: {
          MUSTER_API_KEYS: "default:sk-test-default,other:sk-test-other",
          MUSTER_ADMIN_KEY: "sk-test-admin-0123456789",
          UPSTREAM_BASE_URL: inject<string>("upstreamUrl"),
          UPSTREAM_API: "openai,anthropic",
          UPSTREAM_ALLOW_PRIVATE: "1",
          UPSTREAM_API_KEY: "sk-upstream-secret",
          UPSTREAM_MAX_CONCURRENCY: "50",
          // A machine that is busy for a second makes no call late and loses no conversation.
          UPSTREAM_TIMEOUT_MS: "3000",
          CONSUMER_LANES: "50",
          CLAIM_TTL_MS: "4000",
          RETRY_BASE_MS: "20",
          RETRY_MAX_MS: "100",
          RETRY_MAX_ATTEMPTS: "4",
          WEBHOOK_ALLOW_PRIVATE: "1",
          PRICES: '{"priced*":{"input":1,"output":4,"cached_input":0.5}}',
        },
      },
    })),
  ],
  test: {
    name: "worker",
    maxWorkers: 2,
    include: ["test/**/*.worker.test.ts"],
    globalSetup: ["test/support/worker-setup.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
