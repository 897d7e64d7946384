import { defineProject } from "vitest/config";

/** Everything that needs neither workerd nor a server: whatever the other two do not take. */
export default defineProject({
  root: new URL("..", import.meta.url).pathname,
  test: {
    name: "node",
    // Vitest leaves a core free, which of two is half.
    maxWorkers: 2,
    // A test that hangs is ended; one on a busy machine is not.
    testTimeout: 60_000,
    include: ["test/**/*.test.ts"],
    exclude: ["test/**/*.worker.test.ts", "test/{conformance,scenarios,e2e}/**"],
  },
});
