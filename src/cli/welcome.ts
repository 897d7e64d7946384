import type { Upstream } from "../config/upstreams.ts";
import type { Muster } from "./serve.ts";
import { LOCAL_API_KEYS, type Settings } from "./settings.ts";

/**
 * What `npm start` prints when Muster serves. It may end up in a log, so no key is in it but the one
 * that everybody knows.
 */
export function welcome(settings: Settings, { url, apiKey }: Muster): string {
  const { upstreams, simulated, stateDir, apiKeys, webhookAllowPrivate, upstreamAllowPrivate } =
    settings;
  const more = apiKeys.length > 1 ? `  (and ${apiKeys.length - 1} more)` : "";
  const isKnown = LOCAL_API_KEYS.endsWith(`:${apiKey}`);
  const key = isKnown ? apiKey : "the first of MUSTER_API_KEYS";
  const bearer = isKnown
    ? `'Authorization: Bearer ${apiKey}'`
    : '"Authorization: Bearer $MUSTER_API_KEY"';
  const lines = [
    "",
    "Muster is ready.",
    "",
    `  Page       ${url.replace(/v1$/, "")}`,
    `  Base URL   ${url}`,
    `  API key    ${key}${more}`,
    `  Upstream   ${simulated ? "the built-in simulator; UPSTREAM_BASE_URL and UPSTREAM_API_KEY name a real one" : upstreams.map(nameOf).join("\n             ")}`,
    `  State      ${stateDir}`,
    "",
    "Try it:",
    "",
    `  curl ${url}/batches -H ${bearer} \\`,
    `    -H 'Content-Type: application/json' \\`,
    `    -d '{"model":"gpt-4o-mini","prompts":["What is 6 x 7?","Name a river in Japan."]}'`,
    "",
    `  curl ${url}/batches/BATCH_ID/results -H ${bearer}`,
    "",
  ];
  if (upstreamAllowPrivate && !simulated) {
    lines.push(
      "Upstreams may be on private and loopback addresses, and without TLS; UPSTREAM_ALLOW_PRIVATE=0 refuses that.",
      "",
    );
  }
  if (webhookAllowPrivate) {
    lines.push(
      "Warning: WEBHOOK_ALLOW_PRIVATE=1, so webhooks may reach private and loopback addresses.",
      "",
    );
  }
  lines.push("Ctrl-C stops it; what it has recorded stays.");
  return lines.join("\n");
}

function nameOf({ name, baseUrl }: Upstream): string {
  return name === "default" ? baseUrl : `${name}, ${baseUrl}`;
}
