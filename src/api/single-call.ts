import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { z } from "zod";
import { keyHeaders, urlOf } from "../config/address.ts";
import { MODEL_NOT_SERVED, routesOf, unservedBy } from "../config/routes.ts";
import type { Upstream } from "../config/upstreams.ts";
import { readConfig } from "../config.ts";
import { classifyAnswer } from "../core/outcome.ts";
import { signsOf } from "../core/signs.ts";
import { estimateTokens } from "../core/tokens.ts";
import { readToldLimits } from "../core/told-limits.ts";
import { readUsage } from "../core/usage.ts";
import { ENDPOINTS } from "../wire/batch.ts";
import { type CallHeaders, callHeadersOf } from "../wire/call-headers.ts";
import type { AppEnv } from "./auth.ts";
import { readBytes } from "./body.ts";
import { problemResponse } from "./errors.ts";
import { isForm, sha256 } from "./once.ts";
import { refusal } from "./openapi.ts";
import { passedBody } from "./passed-body.ts";
import { type News, type NoPermit, type Permit, takePermit } from "./permit.ts";

/**
 * One call, passed to the upstream as it is: no batch, no retry, no record. It counts against the same
 * limits as the calls of batches, so an application can send all it has through one Muster.
 */

/** What a single call may be asked for with; longer ones belong into a file. */
const MAX_BODY_BYTES = 16 * 1024 * 1024;
/** A call that gets no permit by then is told to come again. */
const WAIT_MS = 60_000;
/** What of the upstream's headers is the client's business. */
const PASSED =
  /^(content-type|content-disposition|retry-after|retry-after-ms|x-should-retry|x-ratelimit-[a-z-]+|anthropic-ratelimit-[a-z-]+|openai-(processing-ms|version|model))$/;

/** POST /v1/chat/completions, /v1/messages and the other endpoints that a batch's lines may name. */
export function addSingleCallRoutes(app: OpenAPIHono<AppEnv>): void {
  for (const endpoint of ENDPOINTS) {
    const here =
      endpoint === "/v1/messages"
        ? {}
        : {
            413: refusal("More than 16 MiB."),
            502: refusal("The upstream could not be reached."),
            504: refusal("The upstream did not answer in time."),
          };
    app.openAPIRegistry.registerPath({
      method: "post",
      path: endpoint,
      operationId: `call${endpoint
        .slice("/v1/".length)
        .split(/[/_]/)
        .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
        .join("")}`,
      summary: "One call, passed to the upstream as it is, under the limits that batches keep",
      tags: ["Calls"],
      security: [{ apiKey: [] }],
      request: {
        body: {
          required: true,
          content: { "application/json": { schema: z.record(z.string(), z.unknown()) } },
        },
      },
      responses: {
        default: {
          description: "What the upstream answered: any status, any type; a stream is a stream.",
          content: { "*/*": { schema: z.unknown() } },
        },
        400: {
          description: "Refused, here or by the upstream.",
          content: { "*/*": { schema: z.unknown() } },
        },
        ...here,
      },
    });
    app.post(endpoint, (c) => passOn(c, endpoint));
  }
}

async function passOn(c: Context<AppEnv>, endpoint: string): Promise<Response> {
  const read = await readBytes(c.req.raw, MAX_BODY_BYTES);
  if (!read.ok) return problemResponse(c, read.problem);
  const bytes = read.value;
  const body = parse(bytes);
  const model = modelOf(body);
  const { upstreams } = readConfig(c.env);
  const routes = routesOf(upstreams, endpoint, model);
  if (routes.length === 0) {
    const why = unservedBy(upstreams, endpoint)(model);
    const reason = MODEL_NOT_SERVED;
    return problemResponse(c, {
      code: "invalid_request",
      message: `model: ${why}`,
      param: "model",
      reason,
    });
  }
  // Of what has no form, once.ts has begun the turn itself.
  const boundary = boundaryOf(c.req.header("content-type"));
  if (boundary !== undefined) {
    // Each try has a boundary of its own.
    const text = new TextDecoder("latin1").decode(bytes).replaceAll(boundary, "");
    const turn = await c.get("once").begin(sha256(text));
    if (turn instanceof Response) return turn;
  }
  const said = callHeadersOf(c.req.raw.headers, endpoint);
  if (!said.ok) return problemResponse(c, said.problem);
  const cost = estimateTokens(endpoint, body);
  const permit = await takePermit(c.env, c.get("project"), routes, cost, WAIT_MS);
  if ("retryInMs" in permit) return noPermitResponse(c, permit);
  return call(c, endpoint, { bytes, headers: said.value ?? {} }, permit, cost);
}

function noPermitResponse(c: Context<AppEnv>, { retryInMs, crowded }: NoPermit): Response {
  const message = crowded
    ? "Too many single calls wait for the upstream already, so this one was not made."
    : `The upstream's limits left no room for this call within ${WAIT_MS / 1000} s.`;
  const response = problemResponse(c, { code: "rate_limited", message });
  const retryAfterS = Math.min(60, Math.ceil(retryInMs / 1000));
  response.headers.set("retry-after", String(Math.max(1, retryAfterS)));
  return response;
}

async function call(
  c: Context<AppEnv>,
  endpoint: string,
  { bytes, headers: said }: { bytes: Uint8Array; headers: CallHeaders },
  permit: Permit,
  cost: number,
): Promise<Response> {
  const { upstream } = permit.route;
  const over = Promise.withResolvers<News>();
  // The answer may go on after this function, and the permit with it.
  c.executionCtx.waitUntil(over.promise.then((news) => permit.release(news)));
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(), upstream.timeoutMs);
  const startedMs = Date.now();
  let response: Response;
  try {
    response = await fetch(urlOf(upstream, endpoint) + new URL(c.req.url).search, {
      method: "POST",
      headers: { ...headersOf(c, upstream, endpoint), ...said },
      body: bytes,
      redirect: "manual",
      signal: timeout.signal,
    });
  } catch (error) {
    over.resolve({ ...NOTHING_USED(cost), broken: 1 });
    const why = error instanceof Error ? error.message : String(error);
    return timeout.signal.aborted
      ? problemResponse(c, {
          code: "upstream_timeout",
          message: `The upstream did not begin its answer within ${upstream.timeoutMs} ms.`,
        })
      : problemResponse(c, {
          code: "upstream_unreachable",
          message: `The upstream could not be reached: ${why.replace(/\.$/, "")}.`,
        });
  } finally {
    clearTimeout(timer);
  }
  if (response.status >= 300 && response.status < 400) {
    await response.body?.cancel();
    over.resolve(NOTHING_USED(cost));
    const message = `The upstream answered ${response.status}, a redirect, which is not followed.`;
    return problemResponse(c, { code: "upstream_unreachable", message });
  }
  const headers = new Headers();
  for (const [name, value] of response.headers) if (PASSED.test(name)) headers.set(name, value);
  const tookMs = Date.now() - startedMs;
  const newsOf = (text: string | undefined) => readNews(response, text, cost, tookMs);
  if (response.body === null) {
    over.resolve(newsOf(""));
    return new Response(null, { status: response.status, headers });
  }
  // Whoever reads is given the time that the upstream has: it holds the same place among the calls.
  const passed = passedBody(response.body, upstream.timeoutMs, (text) => {
    over.resolve(newsOf(text));
  });
  return new Response(passed, { status: response.status, headers });
}

/** What a call that used no tokens, as far as is known, has to say. */
const NOTHING_USED = (cost: number): News => ({ extraTokens: -cost, answered: false });

/**
 * @param text the whole body, if it was short enough to be kept.
 * @param tookMs until its headers came.
 */
function readNews(
  response: Response,
  text: string | undefined,
  cost: number,
  tookMs: number,
): News {
  const { status, headers, ok } = response;
  let json: unknown;
  try {
    json = text === undefined ? undefined : JSON.parse(text);
  } catch {
    // A stream, a picture: what it used is not known, and stays reserved.
  }
  const verdict = classifyAnswer({ status, headers, json }, Date.now());
  const usage = ok ? readUsage(json) : undefined;
  const used = usage === undefined ? undefined : usage.input_tokens + usage.output_tokens;
  const limits = readToldLimits(headers, Date.now());
  const throttled = verdict.kind === "throttled";
  return {
    extraTokens: used === undefined ? (ok ? 0 : -cost) : used - cost,
    answered: ok,
    throttled: throttled ? { afterMs: verdict.afterMs } : undefined,
    accepted: status === 429 ? 0 : 1,
    refused: throttled ? 1 : 0,
    ...signsOf({ kind: "answered", status }),
    told: limits && { limits, tookMs },
  };
}

function headersOf(
  c: Context<AppEnv>,
  upstream: Upstream,
  endpoint: string,
): Record<string, string> {
  return {
    "content-type": c.req.header("content-type") ?? "application/json",
    accept: c.req.header("accept") ?? "*/*",
    "user-agent": "muster",
    ...keyHeaders(upstream, endpoint),
  };
}

function boundaryOf(type = ""): string | undefined {
  if (!isForm(type)) return undefined;
  return /boundary="?([^";]+)/i.exec(type)?.[1] ?? "-";
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    // A form, or no JSON at all: the upstream says what it thinks of it.
    return undefined;
  }
}

function modelOf(body: unknown): string {
  const has = typeof body === "object" && body !== null && "model" in body;
  return has && typeof body.model === "string" ? body.model : "";
}
