import type { IncomingMessage, ServerResponse } from "node:http";
import { readBody } from "./read-body.ts";
import { SettingsError } from "./settings.ts";
import type { Upstream } from "./upstream.ts";

/** Answers `/_sim/…`, by which other processes watch and steer a simulator. */
export function handleControl(
  upstream: Upstream,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  readBody(request, (text) => {
    const [status, body] = control(upstream, `${request.method} ${request.url}`, text ?? "");
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify(body));
  });
}

function control(upstream: Upstream, route: string, text: string): [status: number, body: unknown] {
  const [, digest] = /^GET \/_sim\/prompts\/([0-9a-f]{16})$/.exec(route) ?? [];
  if (digest !== undefined) return [200, upstream.tally.seen(digest)];
  switch (route) {
    case "GET /_sim/stats":
      return [200, upstream.tally.stats()];
    case "GET /_sim/latencies":
      return [200, upstream.tally.latenciesMs()];
    case "GET /_sim/timeline":
      return [200, upstream.tally.timeline()];
    case "PUT /_sim/settings":
      return putSettings(upstream, text);
    case "POST /_sim/reset":
      upstream.reset();
      return [200, upstream.tally.stats()];
    default:
      return [404, { error: { message: `There is no ${route}.` } }];
  }
}

function putSettings(upstream: Upstream, text: string): [status: number, body: unknown] {
  try {
    upstream.configure(JSON.parse(text));
    return [200, upstream.settings];
  } catch (error) {
    if (error instanceof SettingsError) return [400, { error: { message: error.message } }];
    if (error instanceof SyntaxError) {
      return [400, { error: { message: `settings: not JSON: ${error.message}` } }];
    }
    throw error;
  }
}
