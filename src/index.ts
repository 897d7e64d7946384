import { createApp } from "./api/app.ts";
import { handleQueue } from "./consumer/handler.ts";

export { Batch } from "./batch/batch.ts";
export { Gate } from "./gate/gate.ts";
export { Limiter } from "./limiter/limiter.ts";
export { Project } from "./project/project.ts";

const app = createApp();

export default {
  fetch: (request, env, ctx) => app.fetch(request, env, ctx),
  queue: handleQueue,
} satisfies ExportedHandler<Env>;
