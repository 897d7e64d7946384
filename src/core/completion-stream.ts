import { createParser, type EventSourceMessage } from "eventsource-parser";
import { ChatAssembly } from "./chat-assembly.ts";
import { isRecord, parseExactly } from "./exact-json.ts";
import { MessageAssembly } from "./message-assembly.ts";
import { rawMember } from "./raw-json.ts";
import { readStreamError, type StreamError } from "./stream-error.ts";

/** What a stream came to: the answer as it would have come unstreamed, or why there is none. */
export type StreamEnd =
  | { kind: "whole"; text: string }
  | { kind: "failed"; error: StreamError }
  | { kind: "cut"; why: string }
  | { kind: "too_large" };

/**
 * The server-sent events of one call, put together as they come. Reads chat completions (data-only
 * chunks, `[DONE]` at the end), responses (typed events, the last of which has the whole object) and
 * Anthropic's messages (typed events, `message_stop` at the end).
 */
export class CompletionStream {
  readonly #maxChars: number;
  readonly #chat = new ChatAssembly();
  readonly #message = new MessageAssembly();
  readonly #parser;
  #response: string | undefined;
  #failure: StreamEnd | undefined;
  #done = false;
  #begun = false;
  #chars = 0;
  /** Chunks since the texts were last made one piece each, and the characters there were then. */
  #loose = 0;
  #compactChars = 0;

  /** @param maxChars of the answer; one that is certainly longer is read no further. */
  constructor(maxChars: number) {
    this.#maxChars = maxChars;
    this.#parser = createParser({
      maxBufferSize: maxChars + EVENT_CHARS,
      onEvent: (event) => this.#hear(event),
      onError: ({ type }) => {
        if (type === "max-buffer-size-exceeded") this.#failure ??= { kind: "too_large" };
      },
    });
  }

  /** Takes the next part of the stream, cut anywhere. */
  push(text: string): void {
    if (!this.over) this.#parser.feed(text);
  }

  /** Whether the stream has said all that matters. */
  get over(): boolean {
    return this.#done || this.#failure !== undefined;
  }

  /** Characters of the answer so far. */
  get chars(): number {
    return this.#response?.length ?? this.#chars;
  }

  /** Whether the answer itself has begun: before that a model may think for minutes in silence. */
  get begun(): boolean {
    return this.#begun;
  }

  /** The end of the body: what it came to. */
  end(): StreamEnd {
    // An end without the blank line that should close the last event.
    this.push("\n\n");
    if (this.#failure !== undefined) return this.#failure;
    if (this.#response !== undefined) return { kind: "whole", text: this.#response };
    if (this.#message.finished) {
      return { kind: "whole", text: JSON.stringify(this.#message.whole()) };
    }
    if (!this.#chat.finished) return { kind: "cut", why: "it ended before the answer did" };
    // Not every upstream says [DONE]; the usage that was asked for comes last, too.
    if (!this.#done && !this.#chat.counted) {
      return { kind: "cut", why: "it ended before its usage and [DONE]" };
    }
    return { kind: "whole", text: JSON.stringify(this.#chat.whole()) };
  }

  #hear({ event, data }: EventSourceMessage): void {
    if (this.over || data === "") return;
    if (data === "[DONE]") {
      this.#done = true;
      return;
    }
    let said: unknown;
    try {
      said = parseExactly(data);
    } catch {
      this.#failure = { kind: "cut", why: "one of its events is not JSON" };
      return;
    }
    if (!isRecord(said)) return;
    const error = errorOf(event, said);
    if (error !== undefined) this.#failure = { kind: "failed", error: readStreamError(error) };
    else if (Array.isArray(said.choices)) this.#hearChunk(said, said.choices);
    else if (typeof said.type === "string") this.#hearTyped(said.type, said, data);
  }

  #hearTyped(type: string, said: Record<string, unknown>, data: string): void {
    if (type.endsWith(".delta")) this.#begun = true;
    if (/^(message|content_block)_/.test(type)) this.#hearMessage(type, said);
    if (type !== "response.completed" && type !== "response.incomplete") return;
    const span = rawMember(data, "response");
    if (span === undefined) return;
    this.#response = data.slice(span.start, span.end);
    this.#done = true;
  }

  #hearChunk(chunk: Record<string, unknown>, choices: readonly unknown[]): void {
    for (const choice of choices) {
      if (!isRecord(choice) || !isRecord(choice.delta)) continue;
      const { role, ...said } = choice.delta;
      const chars = charsOf(said);
      if (chars > 0) this.#begun = true;
      this.#chars += chars + charsOf(choice.logprobs);
    }
    this.#chat.add(chunk);
    this.#grown(this.#chat);
  }

  #hearMessage(type: string, event: Record<string, unknown>): void {
    if (type === "content_block_delta") this.#begun = true;
    if (type === "message_stop") this.#done = true;
    this.#chars += charsOf(event.delta) + charsOf(event.content_block);
    this.#message.add(type, event);
    this.#grown(this.#message);
  }

  #grown(assembly: { compact(): void }): void {
    this.#loose += 1;
    // Seldom enough that all the copying is a few times the answer's length.
    if (this.#loose >= LOOSE_MAX && this.#chars > 1.125 * this.#compactChars) {
      assembly.compact();
      this.#loose = 0;
      this.#compactChars = this.#chars;
    }
    if (this.#chars > this.#maxChars) this.#failure = { kind: "too_large" };
  }
}

/** Chunks that may lie about in memory one by one. */
const LOOSE_MAX = 256;
/** What an event has around the response it carries. */
const EVENT_CHARS = 65_536;

/** The error that an event is, if it is one. */
function errorOf(event: string | undefined, said: Record<string, unknown>): unknown {
  if (said.error !== undefined && said.error !== null) return said.error;
  if (said.type === "response.failed") {
    return isRecord(said.response) ? (said.response.error ?? said.response) : said;
  }
  return event === "error" || said.type === "error" ? said : undefined;
}

/** Characters of all texts in a value: what it adds to an answer, at the least. */
function charsOf(value: unknown): number {
  if (typeof value === "string") return value.length;
  if (typeof value !== "object" || value === null) return 0;
  let chars = 0;
  for (const member of Object.values(value)) chars += charsOf(member);
  return chars;
}
