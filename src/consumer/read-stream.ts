import { CompletionStream, type StreamEnd } from "../core/completion-stream.ts";

/** After the end was told, the body's own end is waited for so long: it keeps the connection usable. */
const FAREWELL_MS = 1_000;

/**
 * Reads a response's event stream to its end.
 *
 * @param silence started when the answer has begun, and told of every part that comes after.
 * @throws when the body breaks off or its signal fires.
 */
export async function readStream(
  body: ReadableStream<Uint8Array>,
  maxChars: number,
  silence: Silence,
): Promise<StreamEnd> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const stream = new CompletionStream(maxChars);
  while (!stream.over) {
    const { done, value } = await reader.read();
    if (done) {
      stream.push(decoder.decode());
      return stream.end();
    }
    stream.push(decoder.decode(value, { stream: true }));
    if (stream.begun) silence.broken();
  }
  silence.stop();
  const end = stream.end();
  if (end.kind === "whole") await farewell(reader);
  await reader.cancel().catch(() => undefined);
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
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopped = false;

  constructor(limitMs: number, tooLong: () => void) {
    this.#limitMs = limitMs;
    this.#tooLong = tooLong;
  }

  /** Something was said. */
  broken(): void {
    this.#brokenAtMs = Date.now();
    // One timer that looks again, and not one for each part: a stream has thousands.
    this.#timer ??= setTimeout(() => this.#look(), this.#limitMs);
  }

  /** Nothing more is expected. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #look(): void {
    if (this.#stopped) return;
    const leftMs = this.#brokenAtMs + this.#limitMs - Date.now();
    if (leftMs <= 0) this.#tooLong();
    else this.#timer = setTimeout(() => this.#look(), leftMs);
  }
}
