import { compact, own, setOwn } from "./chat-delta.ts";
import { isRecord, parseExactly } from "./exact-json.ts";

type Members = Record<string, unknown>;

/** A content block, and the JSON of its `input`, which is streamed as text. */
interface Block {
  members: Members;
  input: string;
}

/**
 * Puts the events of a streamed Anthropic message together into what the API answers when it is not
 * asked to stream, as the official SDK's `MessageStream` does it. Kinds of deltas that are not known
 * go on by the kind of their values, so that new ones come out as they would have come in one piece.
 */
export class MessageAssembly {
  #message: Members | undefined;
  readonly #blocks = new Map<number, Block>();
  #stopped = false;

  /**
   * Adds an event. One that is none of a message's, or that comes before its message, adds nothing.
   *
   * @param type its `type`.
   */
  add(type: string, event: Members): void {
    if (type === "message_start") {
      if (isRecord(event.message)) this.#message ??= event.message;
      return;
    }
    if (this.#message === undefined) return;
    switch (type) {
      case "message_delta":
        this.#end(this.#message, event);
        break;
      case "message_stop":
        this.#stopped = true;
        break;
      case "content_block_start":
        if (isRecord(event.content_block)) {
          this.#blocks.set(indexOf(event), { members: event.content_block, input: "" });
        }
        break;
      case "content_block_delta":
        this.#grow(this.#blocks.get(indexOf(event)), event.delta);
        break;
    }
  }

  /** Whether there is a message, and it has come to its end. */
  get finished(): boolean {
    return this.#message !== undefined && this.#stopped;
  }

  /** Takes less memory for the same. */
  compact(): void {
    for (const block of this.#blocks.values()) compact(block);
  }

  /** The message as it stands. */
  whole(): Members {
    const blocks = [...this.#blocks].sort(([a], [b]) => a - b).map(([, block]) => block);
    return { ...this.#message, content: blocks.map(ended) };
  }

  /** How the message ended, and what it used: counts are of the whole, and told where they apply. */
  #end(message: Members, { delta, usage, ...rest }: Members): void {
    for (const told of [delta, rest]) {
      for (const [name, value] of Object.entries(isRecord(told) ? told : {})) {
        if (name === "type") continue;
        if (value !== null || own(message, name) === undefined) setOwn(message, name, value);
      }
    }
    const used = isRecord(message.usage) ? message.usage : {};
    for (const [name, value] of Object.entries(isRecord(usage) ? usage : {})) {
      if (value !== null || own(used, name) === undefined) setOwn(used, name, value);
    }
    message.usage = used;
  }

  #grow(block: Block | undefined, delta: unknown): void {
    if (block === undefined || !isRecord(delta)) return;
    const { type, ...parts } = delta;
    const { members } = block;
    switch (type) {
      case "input_json_delta":
        if (typeof delta.partial_json === "string") block.input += delta.partial_json;
        return;
      case "citations_delta":
        members.citations = [...listOf(members.citations), delta.citation];
        return;
      case "signature_delta":
        members.signature = delta.signature;
        return;
    }
    for (const [name, part] of Object.entries(parts)) {
      const before = own(members, name);
      if (typeof part === "string" && typeof before === "string") {
        setOwn(members, name, before + part);
      } else if (Array.isArray(part)) setOwn(members, name, [...listOf(before), ...part]);
      else if (part !== null) setOwn(members, name, part);
    }
  }
}

function indexOf({ index }: Members): number {
  return typeof index === "number" ? index : 0;
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function ended({ members, input }: Block): Members {
  if (input === "") return members;
  try {
    return { ...members, input: parseExactly(input) };
  } catch {
    // The tokens that were allowed ended in the middle of it; the message's stop_reason says so.
    return members;
  }
}
