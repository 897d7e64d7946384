import { accumulate, compact, own, replace, setOwn } from "./chat-delta.ts";
import { isRecord } from "./exact-json.ts";

type Members = Record<string, unknown>;

/**
 * Puts the chunks of a streamed chat completion together into what the API answers when it is not
 * asked to stream. Shapes are those of the official SDK's `ChatCompletionChunk` and `ChatCompletion`;
 * members neither has are kept.
 */
export class ChatAssembly {
  readonly #top: Members = {};
  /** By index, in the order they were first heard of. */
  readonly #choices = new Map<number, Members>();

  /** Adds a chunk. One that is no object, or has other things where choices are, adds nothing. */
  add(chunk: unknown): void {
    if (!isRecord(chunk)) return;
    for (const [name, value] of Object.entries(chunk)) {
      if (name === "choices") {
        for (const part of Array.isArray(value) ? value : []) this.#addChoice(part);
      } else if (name === "id" || name === "model" || name === "created") {
        // Azure's first chunk, about the prompt, has them empty.
        setOwn(this.#top, name, own(this.#top, name) || value);
      } else if (name !== "obfuscation") {
        setOwn(this.#top, name, replace(own(this.#top, name), value));
      }
    }
  }

  /** Whether there are choices, and all of them have come to their end. */
  get finished(): boolean {
    const choices = [...this.#choices.values()];
    return choices.length > 0 && choices.every(({ finish_reason }) => Boolean(finish_reason));
  }

  /** Whether the usage was told, which comes last. */
  get counted(): boolean {
    return isRecord(this.#top.usage);
  }

  /** Takes less memory for the same. */
  compact(): void {
    for (const { message } of this.#choices.values()) compact(message);
  }

  /** The completion as it stands. */
  whole(): Members {
    const { id, created, model, usage, ...others } = this.#top;
    const choices = [...this.#choices].sort(([a], [b]) => a - b).map(([, choice]) => ended(choice));
    return {
      ...defined({ id }),
      object: "chat.completion",
      ...defined({ created, model }),
      choices,
      ...(isRecord(usage) ? { usage } : {}),
      ...defined({ ...others, object: undefined }),
    };
  }

  #addChoice(part: unknown): void {
    if (!isRecord(part)) return;
    const index = typeof part.index === "number" ? part.index : 0;
    const choice = this.#choices.get(index) ?? {
      index,
      message: {},
      logprobs: null,
      finish_reason: null,
    };
    this.#choices.set(index, choice);
    for (const [name, value] of Object.entries(part)) {
      if (name === "index") continue;
      if (name === "delta") choice.message = accumulate(choice.message, value);
      else if (name === "logprobs") choice.logprobs = accumulate(choice.logprobs, value);
      else setOwn(choice, name, replace(own(choice, name), value));
    }
  }
}

/** A choice with its message as it is when it comes in one piece. */
function ended(choice: Members): Members {
  const { role, content, refusal, tool_calls, ...others } = isRecord(choice.message)
    ? choice.message
    : {};
  const message: Members = {
    role: role ?? "assistant",
    // A refusal's stream begins with an empty content, its answer has none.
    content: refusal && content === "" ? null : (content ?? null),
    refusal: refusal ?? null,
    ...(Array.isArray(tool_calls) ? { tool_calls: calls(tool_calls) } : {}),
    ...others,
  };
  return { ...choice, message };
}

/** Tool calls in the order of their index, which only a stream needs. */
function calls(parts: readonly unknown[]): unknown[] {
  const order = (part: unknown) =>
    isRecord(part) && typeof part.index === "number" ? part.index : Number.MAX_SAFE_INTEGER;
  return [...parts]
    .sort((a, b) => order(a) - order(b))
    .map((part) => {
      if (!isRecord(part)) return part;
      const { index: _, id, type, ...others } = part;
      return { ...defined({ id }), type: type ?? "function", ...others };
    });
}

function defined(members: Members): Members {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}
