import { defineConfig } from "vitest/config";
import { buildPage } from "../src/dashboard/build.ts";

// The Worker imports what this makes.
await buildPage();

export default defineConfig({
  root: new URL("..", import.meta.url).pathname,
  test: {
    // What a test logs is shown when it fails.
    silent: "passed-only",
    projects: [
      "test/vitest.node.config.ts",
      "test/vitest.worker.config.ts",
      "test/vitest.e2e.config.ts",
    ],
  },
});
