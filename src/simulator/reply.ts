import type { Answered, Call } from "./call.ts";

/** A 200 answer, ready to be sent. */
export interface Reply {
  contentType: string;
  body: string;
}

/** Sends a reply whole, now. With `answered`, the call counts as an answer. */
export function sendReply(call: Call, reply: Reply, answered?: Answered): void {
  writeReplyHead(call, reply);
  call.finish(reply.body, answered);
}

/** Sends the headers of a reply, its content-length among them. */
export function writeReplyHead(call: Call, reply: Reply): void {
  call.writeHead(200, {
    "content-type": reply.contentType,
    "content-length": Buffer.byteLength(reply.body),
  });
}
