import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createdAt } from "./answers.ts";
import { type ApiError, apiError } from "./api-error.ts";
import { Call } from "./call.ts";
import { handleControl } from "./control.ts";
import { dialectOf, isEndpoint } from "./digest.ts";
import { readBody } from "./read-body.ts";
import type { Upstream } from "./upstream.ts";
import { walk } from "./walk.ts";

const tooLarge = apiError(413, "invalid_request_error", "The body is over 64 MiB.", "too_large");

const models = JSON.stringify({
  object: "list",
  data: ["gpt-4o", "gpt-4o-mini", "text-embedding-3-small", "omni-moderation-latest"].map((id) => ({
    id,
    object: "model",
    created: createdAt,
    owned_by: "simulator",
  })),
});

/** The simulator's request handler: calls, the list of models, control, and errors for the rest. */
export function createHandler(
  upstream: Upstream,
): (request: IncomingMessage, response: ServerResponse) => void {
  const run = randomBytes(6).toString("hex");
  let requests = 0;
  return (request, response) => {
    const [path = ""] = (request.url ?? "").split("?", 1);
    requests += 1;
    const requestId = `req_${run}${requests.toString(16).padStart(8, "0")}`;
    if (request.method === "POST" && isEndpoint(path)) {
      const { tally, limits } = upstream;
      const call = new Call(request, response, requestId, tally, limits, dialectOf(path));
      readBody(request, (text) => {
        if (text === undefined) call.sendError(tooLarge);
        else walk(upstream, call, path, text);
      });
    } else if (path.startsWith("/_sim/")) {
      handleControl(upstream, request, response);
    } else {
      request.resume();
      const headers: Record<string, string | number> = {
        "content-type": "application/json",
        "x-request-id": requestId,
      };
      upstream.limits.addHeaders(headers, performance.now());
      const isModels = request.method === "GET" && path === "/v1/models";
      const error = isModels ? undefined : noRoute(request.method ?? "", path);
      response.writeHead(error?.status ?? 200, headers);
      response.end(error ? JSON.stringify(error.body) : models);
    }
  };
}

function noRoute(method: string, path: string): ApiError {
  const type = "invalid_request_error";
  return isEndpoint(path)
    ? apiError(405, type, `Not allowed to ${method} on ${path}.`, "method_not_supported")
    : apiError(404, type, `Invalid URL (${method} ${path})`, "unknown_url");
}
