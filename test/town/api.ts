import { Limits } from "../../src/simulator/limits.ts";
import type { LimitSettings } from "../../src/simulator/settings.ts";
import type { Chance } from "../simulation/chance.ts";

/** A 500; an answer that is no JSON; one that breaks off; none at all. */
export type Fault = "error" | "rubbish" | "cut" | "silence";

/** How a played upstream behaves. */
export interface ApiSettings {
  latencyMs: (chance: Chance) => number;
  limits?: LimitSettings;
  /** Part of the calls that get a 429 for no reason. */
  refuses?: number;
  /** Nobody answers while this holds. */
  down?: () => boolean;
  /** The key is answered 401 after some ms while this holds. */
  refusesKey?: () => boolean;
  /** How long the calls of a model are told to wait, in seconds, instead of an answer. */
  waitsS?: (model: string) => number | undefined;
  /** Calls of a model, by their number from 1, that get a 500. */
  fails?: (model: string, nth: number) => boolean;
  /** Parts of the calls that go wrong in another way. */
  faults?: Partial<Record<Fault, number>>;
  tokens?: () => number;
}

/** An upstream in virtual time, with the simulator's own limits. */
export class Api {
  readonly #settings: ApiSettings;
  readonly #limits: Limits;
  /** When each call came, and when it was answered. */
  readonly arrivedMs: number[] = [];
  readonly answeredMs: number[] = [];
  readonly refusedMs: number[] = [];
  readonly models = new Map<string, number>();
  inFlight = 0;
  mostInFlight = 0;

  constructor(settings: ApiSettings) {
    this.#settings = settings;
    this.#limits = new Limits(settings.limits ?? {}, Date.now());
  }

  async call(
    { model }: { model: string },
    chance: Chance,
    signal?: AbortSignal,
  ): Promise<Response> {
    const { faults = {}, latencyMs, refuses = 0, down, tokens = () => 20 } = this.#settings;
    this.arrivedMs.push(Date.now());
    const nth = (this.models.get(model) ?? 0) + 1;
    this.models.set(model, nth);
    await pass(1);
    if (down?.()) throw new TypeError("connection refused");
    if (this.#settings.refusesKey?.()) {
      await pass(50);
      return answer(401, { error: { message: "bad key" } }, { "content-type": "application/json" });
    }
    const waitS = this.#settings.waitsS?.(model);
    if (waitS !== undefined) {
      await pass(100);
      const headers = { "content-type": "application/json", "retry-after": String(waitS) };
      return answer(429, { error: { message: "Rate limit reached." } }, headers);
    }
    const used = tokens();
    const refusal = this.#limits.admit(used, 100, Date.now());
    const headers: Record<string, string | number> = { "content-type": "application/json" };
    if (refusal || chance.maybe(refuses)) {
      this.refusedMs.push(Date.now());
      this.#limits.addHeaders(headers, Date.now());
      const ms = refusal?.retryAfterMs ?? 1_000;
      const about = refusal ? ` on ${refusal.limit}` : "";
      const error = { message: `Rate limit reached${about}. Please try again in ${ms}ms.` };
      if (!refusal) this.#limits.release();
      return answer(429, { error }, { ...headers, "retry-after-ms": String(Math.ceil(ms)) });
    }
    const failing = this.#settings.fails?.(model, nth) === true ? "error" : undefined;
    const fault =
      failing ?? (Object.keys(faults) as Fault[]).find((kind) => chance.maybe(faults[kind] ?? 0));
    this.inFlight += 1;
    this.mostInFlight = Math.max(this.mostInFlight, this.inFlight);
    if (fault === "silence") await aborted(signal);
    else await pass(latencyMs(chance));
    this.inFlight -= 1;
    this.#limits.release();
    if (fault === "silence") throw new DOMException("aborted", "AbortError");
    if (fault === "error") return answer(500, { error: { message: "oops" } }, headers);
    if (fault === "rubbish") return new Response("<html>", { status: 200 });
    if (fault === "cut") return new Response(brokenOff(), { status: 200 });
    this.#limits.addHeaders(headers, Date.now());
    this.answeredMs.push(Date.now());
    const usage = { prompt_tokens: used / 2, completion_tokens: used / 2, total_tokens: used };
    return answer(200, { choices: [{ message: { content: "x" } }], usage }, headers);
  }
}

function answer(status: number, body: unknown, headers: Record<string, string | number>): Response {
  return new Response(JSON.stringify(body), { status, headers: headers as Record<string, string> });
}

function aborted(signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    signal?.addEventListener("abort", () => resolve(), { once: true });
  });
}

function brokenOff(): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode('{"choices":'));
      controller.error(new TypeError("the connection was reset"));
    },
  });
}

function pass(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
