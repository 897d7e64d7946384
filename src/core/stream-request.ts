import { rawMember, setMember } from "./raw-json.ts";

/** Endpoints whose calls may be streamed, and how the body asks for it. */
const ASKED: Partial<Record<string, (body: string) => string | undefined>> = {
  "/v1/chat/completions": streamedChat,
  "/v1/responses": streamedResponse,
  "/v1/messages": (body) => setMember(body, "stream", "true"),
};

/**
 * A request body that asks for a stream, or undefined when its answer cannot be had in one. All that
 * it says besides stays as it was written, byte for byte.
 *
 * @param body JSON text of an object.
 */
export function streamedBody(endpoint: string, body: string): string | undefined {
  return ASKED[endpoint]?.(body);
}

/** Whether calls of an endpoint are streamed when the upstream's setting says so. */
export function isStreamable(endpoint: string): boolean {
  return ASKED[endpoint] !== undefined;
}

function streamedChat(body: string): string | undefined {
  // Audio is streamed in another format than it is answered in.
  if (raw(body, "modalities")?.includes('"audio"')) return undefined;
  const options = raw(body, "stream_options");
  const asked = options?.startsWith("{")
    ? setMember(options, "include_usage", "true")
    : '{"include_usage":true}';
  return setMember(setMember(body, "stream_options", asked), "stream", "true");
}

function streamedResponse(body: string): string | undefined {
  // One in the background is answered at once, before it is done.
  if (raw(body, "background") === "true") return undefined;
  return setMember(body, "stream", "true");
}

function raw(body: string, key: string): string | undefined {
  const span = rawMember(body, key);
  return span && body.slice(span.start, span.end);
}
