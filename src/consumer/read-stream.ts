import { CompletionStream, type StreamEnd } from "../core/completion-stream.ts";
import { heard } from "./heard.ts";

/** After the end was told, the body's own end is waited for so long: it keeps the connection usable. */
const FAREWELL_MS = 1_000;

/** What is told of a stream while it is read. */
export interface Listener {
  /** Started when the answer has begun, and told of every part that comes after. */
  silence: Silence;
  /** The bytes of each part. */
  read(bytes: number): void;
  /** The characters by which the answer grew; what it returns is waited for before reading on. */
  grown(chars: number): Promise<void> | undefined;
}

/**
 * Reads a response's event stream to its end.
 *
 * @throws when the body breaks off or its signal fires.
 */
export async function readStream(
  body: ReadableStream<Uint8Array>,
  maxChars: number,
  { silence, read, grown }: Listener,
): Promise<StreamEnd> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const stream = new CompletionStream(maxChars);
  let chars = 0;
  while (!stream.over) {
    const { done, value } = await reader.read();
    if (done) {
      stream.push(decoder.decode());
      return stream.end();
    }
    read(value.byteLength);
    stream.push(decoder.decode(value, { stream: true }));
    const room = grown(stream.chars - chars);
    chars = stream.chars;
    if (room !== undefined) {
      // The silence is ours then.
      silence.rest();
      await room;
    }
    if (stream.begun) silence.broken();
  }
  silence.stop();
  const end = stream.end();
  if (end.kind === "whole") await farewell(reader);
  await reader.cancel().catch(() => undefined);
  if (end.kind !== "whole") await heard();
  return end;
}

/** Reads what comes behind the end, for a moment. */
async function farewell(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<{ done: true }>((resolve) => {
    timer = setTimeout(() => resolve({ done: true }), FAREWELL_MS);
  });
  try {
    while (!(await Promise.race([reader.read(), late])).done);
  } catch {
    // The answer is there; how its connection ends does not matter.
  } finally {
    clearTimeout(timer);
  }
}

/** Notices when a stream that has begun says nothing for too long. */
export class Silence {
  readonly #limitMs: number;
  readonly #tooLong: () => void;
  #brokenAtMs = 0;
  #rests = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopped = false;

  constructor(limitMs: number, tooLong: () => void) {
    this.#limitMs = limitMs;
    this.#tooLong = tooLong;
  }

  /** Something was said. */
  broken(): void {
    this.#brokenAtMs = Date.now();
    this.#rests = false;
    // One timer that looks again, and not one for each part: a stream has thousands.
    this.#timer ??= setTimeout(() => this.#look(), this.#limitMs);
  }

  /** Nothing is listened to until something is said again. */
  rest(): void {
    this.#rests = true;
  }

  /** Nothing more is expected. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #look(): void {
    if (this.#stopped) return;
    const sinceMs = this.#rests ? Date.now() : this.#brokenAtMs;
    const leftMs = sinceMs + this.#limitMs - Date.now();
    if (leftMs <= 0) this.#tooLong();
    else this.#timer = setTimeout(() => this.#look(), leftMs);
  }
}
