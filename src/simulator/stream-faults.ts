import { anthropicType } from "./api-error.ts";
import { messageEvent } from "./message.ts";
import type { Reply } from "./reply.ts";

/** Faults as they look in a stream of server-sent events. */

export function isStream(reply: Reply): boolean {
  return reply.contentType.startsWith("text/event-stream");
}

/** The first half of the events, and then an error. */
export function breakOff(reply: Reply, code: string | number): Reply {
  const events = reply.body.split("\n\n").slice(0, -1);
  const message = "The simulator broke its stream off.";
  const kept = events.slice(0, events.length >> 1).map((event) => `${event}\n\n`);
  if (isMessage(reply)) {
    const type = typeof code === "number" ? anthropicType(code) : code;
    const said = JSON.stringify({ type: "error", error: { type, message } });
    return { ...reply, body: `${kept.join("")}event: error\ndata: ${said}\n\n` };
  }
  const error = { message, type: "server_error", code };
  return { ...reply, body: `${kept.join("")}data: ${JSON.stringify({ error })}\n\n` };
}

/** Whether a stream is one of Anthropic's. */
function isMessage({ body }: Reply): boolean {
  return body.startsWith("event: message_start");
}

/** A chat answer of at least so many bytes: its text is longer by that. */
export function padStream(reply: Reply, bytes: number): Reply {
  const pieces = Array.from({ length: Math.ceil(bytes / PAD_BYTES) }, (_, index) =>
    "x".repeat(Math.min(PAD_BYTES, bytes - index * PAD_BYTES)),
  );
  if (isMessage(reply)) {
    const deltas = pieces.map((text) =>
      messageEvent("content_block_delta", { index: 0, delta: { type: "text_delta", text } }),
    );
    // The block that they go to has begun then.
    return { ...reply, body: reply.body.replace(PING, (ping) => ping + deltas.join("")) };
  }
  const events = pieces.map(
    (content) => `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`,
  );
  return { ...reply, body: events.join("") + reply.body };
}

/** Numbers that do not survive a parse and a print, in an event of their own. */
export function withNumbers(reply: Reply): Reply {
  const numbers = '{"integer":12345678901234567890,"decimal":1.10,"power":1E+2}';
  if (isMessage(reply)) {
    return {
      ...reply,
      body: reply.body.replace('"message":{', `"message":{"numbers":${numbers},`),
    };
  }
  return { ...reply, body: `data: {"choices":[],"numbers":${numbers}}\n\n${reply.body}` };
}

const PING = messageEvent("ping", {});
const PAD_BYTES = 16_384;
