import type { Reply } from "./reply.ts";

/** Faults as they look in a stream of server-sent events. */

export function isStream(reply: Reply): boolean {
  return reply.contentType.startsWith("text/event-stream");
}

/** The first half of the events, and then an error. */
export function breakOff(reply: Reply, code: string | number): Reply {
  const events = reply.body.split("\n\n").slice(0, -1);
  const error = { message: "The simulator broke its stream off.", type: "server_error", code };
  const kept = events.slice(0, events.length >> 1).map((event) => `${event}\n\n`);
  return { ...reply, body: `${kept.join("")}data: ${JSON.stringify({ error })}\n\n` };
}

/** A chat answer of at least so many bytes: its text is longer by that. */
export function padStream(reply: Reply, bytes: number): Reply {
  const pieces = Array.from({ length: Math.ceil(bytes / PAD_BYTES) }, (_, index) =>
    "x".repeat(Math.min(PAD_BYTES, bytes - index * PAD_BYTES)),
  );
  const events = pieces.map(
    (content) => `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`,
  );
  return { ...reply, body: events.join("") + reply.body };
}

/** Numbers that do not survive a parse and a print, in an event of their own. */
export function withNumbers(reply: Reply): Reply {
  const numbers = '{"integer":12345678901234567890,"decimal":1.10,"power":1E+2}';
  return { ...reply, body: `data: {"choices":[],"numbers":${numbers}}\n\n${reply.body}` };
}

const PAD_BYTES = 16_384;
