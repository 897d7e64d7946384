import { OpenAPIHono } from "@hono/zod-openapi";
import { ConfigError } from "../config.ts";
import { quoted } from "../core/quoted.ts";
import { addDashboard } from "../dashboard/routes.ts";
import { log } from "../log.ts";
import { newRequestId } from "../wire/ids.ts";
import { describeIssue } from "../wire/issue.ts";
import { addCreateMessageBatchRoute } from "./anthropic/create.ts";
import { addMessageBatchRoutes } from "./anthropic/message-batches.ts";
import { type AppEnv, authenticate, authenticateAdmin } from "./auth.ts";
import { addBatchRoutes } from "./batches.ts";
import { addChangeBatchRoute } from "./change-batch.ts";
import { addCreateBatchRoute } from "./create-batch.ts";
import { addCreateFileRoute } from "./create-file.ts";
import { addDeliveryRoutes } from "./deliveries.ts";
import { decodeBody } from "./encoding.ts";
import { atMessages, failureResponse, problemResponse } from "./errors.ts";
import { addEventsRoute } from "./events.ts";
import { addFileRoutes } from "./files.ts";
import { addHealthRoutes } from "./health.ts";
import { hearOut } from "./hear-out.ts";
import { addMetricsRoute } from "./metrics.ts";
import { once } from "./once.ts";
import { addDocument } from "./openapi.ts";
import { addApiKeyRoutes } from "./organization/api-keys.ts";
import { addProjectRoutes } from "./organization/projects.ts";
import { addResultsRoute } from "./results.ts";
import { addRetryBatchRoute } from "./retry-batch.ts";
import { addSingleCallRoutes } from "./single-call.ts";
import { addSteerRoutes } from "./steer.ts";
import { addTaskRoutes } from "./tasks.ts";
import { addTimelineRoute } from "./timeline.ts";
import { addUploadRoutes } from "./uploads.ts";
import { addUpstreamsRoute } from "./upstreams.ts";
import { addEndpointRoutes } from "./webhook-endpoints.ts";

/** The HTTP side of Muster. */
export function createApp(): OpenAPIHono<AppEnv> {
  const app = new OpenAPIHono<AppEnv>({
    defaultHook: (result, c) => {
      if (result.success) return undefined;
      const { param, message } = describeIssue(result.error);
      return problemResponse(c, { code: "invalid_request", message, param });
    },
  });

  app.use(async (c, next) => {
    c.set("requestId", newRequestId());
    await next();
    const { headers } = c.res;
    headers.set("x-request-id", c.get("requestId"));
    // Prompts and answers are in them: no browser keeps one, or takes one for a page.
    headers.set("x-content-type-options", "nosniff");
    if (!headers.has("cache-control")) headers.set("cache-control", "no-store");
    if (atMessages(c.req.path)) headers.set("request-id", c.get("requestId"));
  });
  app.onError((error, c) => {
    if (error instanceof ConfigError) {
      return problemResponse(c, { code: "not_configured", message: error.message });
    }
    const { method, path } = c.req;
    const request = c.get("requestId");
    log({ event: "request_failed", request, method, path, error: String(error) });
    return failureResponse(c);
  });
  app.notFound((c) => {
    const { method, path } = c.req;
    const named = quoted(path);
    const allowed = methodsOf(app, path);
    const problem =
      allowed.length === 0
        ? `There is no ${method} ${named}. ${adviceOn(path)}`
        : `Not allowed to ${method} on ${named}; it takes ${allowed.join(", ")}.`;
    const code = allowed.length === 0 ? "not_found" : "method_not_allowed";
    const response = problemResponse(c, { code, message: problem });
    if (allowed.length > 0) response.headers.set("allow", allowed.join(", "));
    return response;
  });

  addHealthRoutes(app);
  addDashboard(app);
  addDocument(app);
  app.use("/v1/organization/*", authenticateAdmin);
  app.use("/v1/*", authenticate);
  app.use("/v1/*", hearOut);
  app.use("/v1/*", decodeBody);
  app.use("/v1/*", once);
  app.use("/metrics", authenticate);
  addMetricsRoute(app);
  addCreateBatchRoute(app);
  addBatchRoutes(app);
  addChangeBatchRoute(app);
  addSteerRoutes(app);
  addRetryBatchRoute(app);
  addTaskRoutes(app);
  addTimelineRoute(app);
  addUpstreamsRoute(app);
  addDeliveryRoutes(app);
  addResultsRoute(app);
  addCreateFileRoute(app);
  addEventsRoute(app);
  addFileRoutes(app);
  addUploadRoutes(app);
  addSingleCallRoutes(app);
  addEndpointRoutes(app);
  addCreateMessageBatchRoute(app);
  addMessageBatchRoutes(app);
  addProjectRoutes(app);
  addApiKeyRoutes(app);
  return app;
}

function adviceOn(path: string): string {
  return path.startsWith("/v1/v1/")
    ? "Anthropic's clients add /v1 themselves: leave it out of their base URL."
    : "/openapi.json lists what there is.";
}

/** The methods of the routes that a path has. */
function methodsOf(app: OpenAPIHono<AppEnv>, path: string): string[] {
  const methods = app.routes
    .filter(({ method, path: pattern }) => method !== "ALL" && patternOf(pattern).test(path))
    .flatMap(({ method }) => (method === "GET" ? ["GET", "HEAD"] : [method]));
  return [...new Set(methods)];
}

function patternOf(route: string): RegExp {
  const parts = route.split("/").map((part) => (part.startsWith(":") ? "[^/]+" : part));
  return new RegExp(`^${parts.join("/").replaceAll(".", "\\.")}$`);
}
