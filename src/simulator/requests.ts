import { type ApiError, badRequest } from "./api-error.ts";
import { digestText, type Endpoint, promptFields, promptText, textOf } from "./digest.ts";

/** A checked request to the model. */
export interface ModelRequest {
  endpoint: Endpoint;
  model: string;
  /** The value of the prompt field, as it came. */
  input: unknown;
  prompt: string;
  digest: string;
  /** The most tokens the answer may have; undefined is no limit. */
  maxTokens: number | undefined;
  stream: boolean;
  includeUsage: boolean;
  /** Text that the body marks for the prompt cache, which is always warm here. Messages only. */
  cachedText: string;
  /** Answers asked for; chat completions only. */
  choices: number;
  /** Embeddings only. */
  dimensions: number | undefined;
  base64: boolean;
}

/** Reads a request body as OpenAI would: the request, or the 400 it gets. */
export function readRequest(
  endpoint: Endpoint,
  text: string,
): { request: ModelRequest } | { error: ApiError } {
  const body = parseObject(text);
  if (body === undefined) {
    return {
      error: badRequest("We could not parse the JSON body of your request.", null, "invalid_json"),
    };
  }
  const model =
    endpoint === "/v1/moderations" ? (body.model ?? "omni-moderation-latest") : body.model;
  if (typeof model !== "string" || model === "") {
    return {
      error: badRequest(
        "you must provide a model parameter",
        "model",
        "missing_required_parameter",
      ),
    };
  }
  const field = promptFields[endpoint];
  const input = body[field];
  const complaint = checkInput(endpoint, field, input);
  if (complaint) return { error: complaint };
  if (endpoint === "/v1/messages" && !isAllowance(body.max_tokens)) {
    const message = "max_tokens: a whole number from 0 is required";
    return { error: badRequest(message, "max_tokens", "missing_required_parameter") };
  }
  if (body.stream === true && !streamed.has(endpoint)) {
    return {
      error: badRequest(
        `The simulator does not stream ${endpoint}.`,
        "stream",
        "unsupported_parameter",
      ),
    };
  }
  const prompt = promptText(endpoint, body);
  const options = body.stream_options;
  return {
    request: {
      endpoint,
      model,
      input,
      prompt,
      digest: digestText(prompt),
      maxTokens: count(body.max_completion_tokens ?? body.max_tokens ?? body.max_output_tokens),
      stream: body.stream === true,
      includeUsage: isRecord(options) && options.include_usage === true,
      cachedText: endpoint === "/v1/messages" ? cachedText(body.system) : "",
      choices: endpoint === "/v1/chat/completions" ? (count(body.n) ?? 1) : 1,
      dimensions: count(body.dimensions),
      base64: body.encoding_format === "base64",
    },
  };
}

/** Endpoints whose input is a list of messages, and never bare text. */
const ofMessages: ReadonlySet<Endpoint> = new Set(["/v1/chat/completions", "/v1/messages"]);
const streamed: ReadonlySet<Endpoint> = new Set([...ofMessages, "/v1/responses"]);

/** Anthropic takes 0, which only fills the prompt cache. */
function isAllowance(value: unknown): boolean {
  return typeof value === "number" && Number.isInteger(value) && value >= 0;
}

function cachedText(system: unknown): string {
  if (!Array.isArray(system)) return "";
  return textOf(system.filter((block) => isRecord(block) && isRecord(block.cache_control)));
}

function checkInput(endpoint: Endpoint, field: string, input: unknown): ApiError | undefined {
  if (input === undefined || input === null) {
    return badRequest(
      `Missing required parameter: '${field}'.`,
      field,
      "missing_required_parameter",
    );
  }
  const isText = typeof input === "string" && !ofMessages.has(endpoint);
  if (!isText && !Array.isArray(input)) {
    return badRequest(`Invalid type for '${field}'.`, field, "invalid_type");
  }
  if (input.length === 0 && endpoint !== "/v1/completions") {
    return badRequest(`Invalid '${field}': it must not be empty.`, field, "empty_array");
  }
  if (!ofMessages.has(endpoint) || !Array.isArray(input)) return undefined;
  const wrong = input.findIndex(
    (message) => !isRecord(message) || typeof message.role !== "string",
  );
  if (wrong === -1) return undefined;
  const param = `messages[${wrong}]`;
  return badRequest(`Invalid '${param}': it must be an object with a role.`, param, "invalid_type");
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function count(value: unknown): number | undefined {
  return typeof value === "number" && value >= 1 ? Math.floor(value) : undefined;
}
