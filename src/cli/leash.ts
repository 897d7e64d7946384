import { rmSync } from "node:fs";

/**
 * Loaded into wrangler's process before wrangler (`node --import`). When the process that started
 * it is gone, even by `kill -9`, it takes its whole process group (workerd, esbuild) and its
 * workspace, which has secrets in it, with it.
 */
process.once("disconnect", () => {
  const dir = process.env.MUSTER_WORKSPACE;
  if (dir) rmSync(dir, { recursive: true, force: true });
  process.kill(-process.pid, "SIGKILL");
});
process.channel?.unref();
