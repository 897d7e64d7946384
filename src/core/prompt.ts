/**
 * What a person asked, out of a request's body, as text: the last message of the user for chats and
 * Anthropic messages, the input or the prompt for the other endpoints. Undefined when there is no
 * such text.
 */
export function readPrompt(endpoint: string, body: unknown): string | undefined {
  if (endpoint.endsWith("/chat/completions") || endpoint.endsWith("/messages")) {
    return lastOfUser(member(body, "messages"));
  }
  const input = member(body, "input") ?? member(body, "prompt");
  return textOf(input) ?? lastOfUser(input);
}

function lastOfUser(messages: unknown): string | undefined {
  if (!Array.isArray(messages)) return undefined;
  const said = messages.filter((message) => member(message, "role") === "user").at(-1);
  return textOf(member(said ?? messages.at(-1), "content"));
}

/** A text, the text parts of a list of parts, or the texts of a list of texts. */
function textOf(content: unknown): string | undefined {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return undefined;
  const texts = content.flatMap((part: unknown) => {
    const text = typeof part === "string" ? part : member(part, "text");
    return typeof text === "string" ? [text] : [];
  });
  return texts.length === 0 ? undefined : texts.join("\n");
}

function member(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null
    ? (value as Readonly<Record<string, unknown>>)[name]
    : undefined;
}
