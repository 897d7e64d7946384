/** Any JSON value, read without knowing its shape: a missing property of anything is undefined. */
type Loose = { readonly [key: string]: Loose } | null | undefined;

/**
 * What a person wants of an upstream's answer, by the endpoint that was called: a chat's message
 * (or its tool calls, when it has no text), a completion's text, a response's `output_text`, an
 * Anthropic message's text (or its tool uses), an embedding (or all of them, when there are
 * several), a moderation's results, an image's URL or base64. The first choice speaks for an answer
 * with several. Whatever does not look like that is given whole, a refusal too; any body is
 * accepted.
 */
export function readContent(endpoint: string, body: unknown): unknown {
  const answer = body as Loose;
  const content = findContent(endpoint, answer);
  return content ?? body;
}

function findContent(endpoint: string, answer: Loose): unknown {
  if (endpoint.endsWith("/chat/completions")) return chatContent(answer?.choices?.[0]?.message);
  if (endpoint.endsWith("/completions")) return answer?.choices?.[0]?.text;
  if (endpoint.endsWith("/responses")) return outputText(answer?.output);
  if (endpoint.endsWith("/messages")) return messageContent(answer?.content);
  if (endpoint.endsWith("/embeddings")) return embeddings(answer?.data);
  if (endpoint.endsWith("/moderations")) return answer?.results;
  if (endpoint.includes("/images/")) return pictures(answer?.data);
  return undefined;
}

/** Some upstreams send an empty string beside tool calls where OpenAI sends null. */
function chatContent(message: Loose): unknown {
  const content: unknown = message?.content;
  const toolCalls: unknown = message?.tool_calls;
  const hasToolCalls = Array.isArray(toolCalls) && toolCalls.length > 0;
  return hasToolCalls && (content ?? "") === "" ? toolCalls : content;
}

/** As the openai package's `addOutputText` does it; undefined when there is no text at all. */
function outputText(output: unknown): string | undefined {
  const texts: string[] = [];
  for (const message of list(output)) {
    if (!is(message?.type, "message")) continue;
    for (const part of list(message?.content)) {
      const text: unknown = part?.text;
      if (is(part?.type, "output_text") && typeof text === "string") texts.push(text);
    }
  }
  return texts.length > 0 ? texts.join("") : undefined;
}

/** The text blocks as one text, thinking left out; without any, the tool uses. */
function messageContent(content: unknown): unknown {
  const blocks = list(content);
  const texts = blocks.flatMap((block) => {
    const text: unknown = block?.text;
    return is(block?.type, "text") && typeof text === "string" ? [text] : [];
  });
  const toolUses = blocks.filter((block) => is(block?.type, "tool_use"));
  if (texts.join("") === "" && toolUses.length > 0) return toolUses;
  return texts.length > 0 ? texts.join("") : undefined;
}

function embeddings(data: unknown): unknown {
  const found = list(data).map((entry) => entry?.embedding);
  if (found.length === 0 || found.includes(undefined)) return undefined;
  return found.length === 1 ? found[0] : found;
}

/** Where a picture is, or its bytes in base64; a list of several. */
function pictures(data: unknown): unknown {
  const found: unknown[] = list(data).map((entry) => entry?.url ?? entry?.b64_json);
  if (found.length === 0 || found.includes(undefined)) return undefined;
  return found.length === 1 ? found[0] : found;
}

function list(value: unknown): Loose[] {
  return Array.isArray(value) ? value : [];
}

function is(value: unknown, text: string): boolean {
  return value === text;
}
