import { defineProject } from "vitest/config";

/** Tests against a whole Muster under `wrangler dev`, as a user has it. */
export default defineProject({
  root: new URL("..", import.meta.url).pathname,
  test: {
    name: "e2e",
    include: ["test/{conformance,scenarios,e2e}/**/*.test.ts"],
    exclude: ["test/**/*.worker.test.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Each file has a server of its own, which waits more than it works: two cores hold two. Not beside
    // the others, which work.
    maxWorkers: 2,
    sequence: { groupOrder: 1 },
  },
});
