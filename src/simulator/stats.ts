/** What the simulator has seen since its start or the last reset. Times are Unix milliseconds. */
export interface Stats {
  /** POSTs to the endpoints that take calls, refused and invalid ones too. */
  calls: number;
  /**
   * How the calls ended, one entry a call: the status sent to its last byte, or
   * - `reset`, `hang`, `hang_body`, `truncated`, `stream_error`, `not_json`: that fault hit it;
   * - `aborted`: the client went away first.
   */
  byStatus: Record<string, number>;
  /** Calls that have arrived and neither ended nor lost their client. */
  inFlight: number;
  mostInFlight: number;
  /** Calls answered 2xx, in JSON, to the last byte. */
  answered: number;
  /** Different prompts seen. */
  distinctPrompts: number;
  /** Different prompts answered; `answered - answeredPrompts` is what was paid for twice. */
  answeredPrompts: number;
  /** Calls whose prompt had been answered already when they arrived. */
  duplicates: number;
  /** Prompts called more than once, for whatever reason. */
  repeatedPrompts: number;
  firstCallAt: number | null;
  lastAnswerAt: number | null;
  /**
   * Calls by the value of their Authorization header, or by `x-api-key: VALUE`; `(none)` where there
   * was neither.
   */
  authorizations: Record<string, number>;
}

/** What is remembered of one prompt. */
export interface PromptRecord {
  calls: number;
  /** Calls that the limits let through. */
  attempts: number;
  answers: number;
}

/** How calls ended, by whole seconds since the first call came. */
export interface Timeline {
  answered: number[];
  throttled: number[];
}

/** Counts calls. A call reports to the tally it arrived under, so a reset forgets the old ones. */
export class Tally {
  readonly #prompts = new Map<string, PromptRecord>();
  readonly #byStatus = new Map<string, number>();
  readonly #authorizations = new Map<string, number>();
  readonly #latenciesMs: number[] = [];
  readonly #timeline: Timeline = { answered: [], throttled: [] };
  #calls = 0;
  #inFlight = 0;
  #mostInFlight = 0;
  #answeredPrompts = 0;
  #duplicates = 0;
  #repeatedPrompts = 0;
  #firstCallAt: number | null = null;
  #lastAnswerAt: number | null = null;

  arrive(authorization: string | undefined): void {
    this.#firstCallAt ??= Date.now();
    this.#calls += 1;
    this.#inFlight += 1;
    if (this.#inFlight > this.#mostInFlight) this.#mostInFlight = this.#inFlight;
    increment(this.#authorizations, authorization ?? "(none)");
  }

  /** Counts a call of a prompt, and gives the prompt's record. */
  prompt(digest: string): PromptRecord {
    let record = this.#prompts.get(digest);
    if (record === undefined) {
      record = { calls: 0, attempts: 0, answers: 0 };
      this.#prompts.set(digest, record);
    }
    record.calls += 1;
    if (record.calls === 2) this.#repeatedPrompts += 1;
    if (record.answers > 0) this.#duplicates += 1;
    return record;
  }

  /** What a prompt has seen so far. */
  seen(digest: string): PromptRecord {
    return this.#prompts.get(digest) ?? { calls: 0, attempts: 0, answers: 0 };
  }

  count(status: string): void {
    increment(this.#byStatus, status);
    if (status === "429") this.#mark(this.#timeline.throttled);
  }

  answer(record: PromptRecord, latencyMs: number): void {
    record.answers += 1;
    if (record.answers === 1) this.#answeredPrompts += 1;
    this.#latenciesMs.push(latencyMs);
    this.#lastAnswerAt = Date.now();
    this.#mark(this.#timeline.answered);
  }

  leave(): void {
    this.#inFlight -= 1;
  }

  /** The latencies of the answered calls, in milliseconds, in the order they were answered. */
  latenciesMs(): number[] {
    return [...this.#latenciesMs];
  }

  /** The seconds up to now. */
  timeline(): Timeline {
    const seconds = this.#second() + 1;
    const whole = (counts: number[]) => Array.from({ length: seconds }, (_, at) => counts[at] ?? 0);
    const { answered, throttled } = this.#timeline;
    return { answered: whole(answered), throttled: whole(throttled) };
  }

  #second(): number {
    const now = Date.now();
    return Math.max(0, Math.floor((now - (this.#firstCallAt ?? now)) / 1000));
  }

  #mark(counts: number[]): void {
    const second = this.#second();
    counts[second] = (counts[second] ?? 0) + 1;
  }

  stats(): Stats {
    return {
      calls: this.#calls,
      byStatus: Object.fromEntries(this.#byStatus),
      inFlight: this.#inFlight,
      mostInFlight: this.#mostInFlight,
      answered: this.#latenciesMs.length,
      distinctPrompts: this.#prompts.size,
      answeredPrompts: this.#answeredPrompts,
      duplicates: this.#duplicates,
      repeatedPrompts: this.#repeatedPrompts,
      firstCallAt: this.#firstCallAt,
      lastAnswerAt: this.#lastAnswerAt,
      authorizations: Object.fromEntries(this.#authorizations),
    };
  }
}

function increment(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
