import { defineProject } from "vitest/config";

export default defineProject({
  root: new URL("..", import.meta.url).pathname,
  test: {
    name: "node",
    include: [
      "test/{config,core,town,wire,api,batch,consumer,webhooks,simulator,simulation,cli,bench}/**/*.test.ts",
      "test/config.test.ts",
    ],
    exclude: ["test/**/*.worker.test.ts"],
  },
});
