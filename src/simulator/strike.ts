import { faultError, insufficientQuota } from "./api-error.ts";
import type { Answered, Call } from "./call.ts";
import { retryHeaders } from "./limits.ts";
import { type Reply, sendReply, writeReplyHead } from "./reply.ts";
import type { Fault } from "./settings.ts";
import { breakOff, isStream, padStream, withNumbers } from "./stream-faults.ts";

/** What a call would have got without its fault. */
export interface Intended {
  /** Where the simulator listens, without a path. */
  origin: string;
  answered: Answered;
  /** Built only when the fault needs it. */
  reply: () => Reply;
}

/** Carries a fault out on a call. */
export function strike(call: Call, fault: Fault, intended: Intended): void {
  switch (fault.kind) {
    case "status":
      call.sendError(faultError(fault.code), statusHeaders(fault));
      break;
    case "insufficient_quota":
      call.sendError(
        insufficientQuota,
        fault.retryAfterMs === undefined ? {} : retryHeaders(fault.retryAfterMs),
      );
      break;
    case "reset":
      call.count("reset");
      call.request.socket.resetAndDestroy();
      break;
    case "hang":
      // Nothing more: the client, or close(), ends it.
      call.count("hang");
      break;
    case "hang_body":
      hangBody(call, intended.reply());
      break;
    case "truncated":
      truncate(call, intended.reply(), fault.chunked);
      break;
    case "stream_error":
      failInStream(call, intended.reply(), fault.code);
      break;
    case "not_json":
      call.count("not_json");
      sendReply(call, page);
      break;
    case "redirect":
      redirect(call, fault.to ?? `${intended.origin}${call.request.url ?? ""}`);
      break;
    case "huge":
      sendReply(call, pad(intended.reply(), fault.bytes), intended.answered);
      break;
    case "pretty":
      sendReply(call, prettyPrint(intended.reply()), intended.answered);
      break;
  }
}

const page: Reply = {
  contentType: "text/html; charset=utf-8",
  body: "<!doctype html><title>Please wait</title><p>Checking your connection.</p>\n",
};

function statusHeaders(fault: Extract<Fault, { kind: "status" }>): Record<string, string> {
  const retryAfterMs = fault.retryAfterMs ?? (fault.code === 429 ? 1000 : undefined);
  return {
    ...(retryAfterMs === undefined ? {} : retryHeaders(retryAfterMs)),
    ...(fault.shouldRetry === undefined ? {} : { "x-should-retry": String(fault.shouldRetry) }),
    ...fault.headers,
  };
}

function redirect(call: Call, location: string): void {
  call.writeHead(307, { location, "content-length": 0 });
  call.finish("");
}

function hangBody(call: Call, reply: Reply): void {
  call.count("hang_body");
  writeReplyHead(call, reply);
  call.response.write(firstHalf(reply.body));
}

function truncate(call: Call, reply: Reply, chunked: boolean): void {
  call.count("truncated");
  if (chunked) call.writeHead(200, { "content-type": reply.contentType });
  else writeReplyHead(call, reply);
  const { socket } = call.request;
  call.response.write(firstHalf(reply.body), () => socket.destroy());
}

function firstHalf(body: string): Buffer {
  const bytes = Buffer.from(body);
  return bytes.subarray(0, bytes.length >> 1);
}

function failInStream(call: Call, reply: Reply, code: string | number): void {
  if (!isStream(reply)) {
    call.sendError(faultError(500));
    return;
  }
  call.count("stream_error");
  sendReply(call, breakOff(reply, code));
}

/** Pads a JSON object to a number of bytes with one more field. Shorter it does not get. */
function pad(reply: Reply, bytes: number): Reply {
  if (isStream(reply)) return padStream(reply, bytes);
  const start = `${reply.body.slice(0, -1)},"padding":"`;
  const missing = bytes - Buffer.byteLength(start) - 2;
  return { contentType: reply.contentType, body: `${start}${"x".repeat(Math.max(0, missing))}"}` };
}

/** Numbers that do not survive a parse and a print, in a JSON written over several lines. */
function prettyPrint(reply: Reply): Reply {
  if (isStream(reply)) return withNumbers(reply);
  const body = JSON.stringify(JSON.parse(reply.body), null, 2);
  const numbers = `{\n    "integer": 12345678901234567890,\n    "decimal": 1.10,\n    "power": 1E+2\n  }`;
  return {
    contentType: reply.contentType,
    body: `${body.slice(0, -2)},\n  "numbers": ${numbers}\n}\n`,
  };
}
