import { vi } from "vitest";
import type { Assignment, ExchangeReply, ExchangeRequest } from "../../src/batch/exchange.ts";
import { Conversation, type Ground } from "../../src/consumer/conversation.ts";
import { Lanes } from "../../src/consumer/lanes.ts";
import { Slots } from "../../src/consumer/slots.ts";
import { planLanes } from "../../src/consumer/weight.ts";
import type { BatchRef } from "../../src/wire/messages.ts";
import { roomyMemory } from "../support/call-ground.ts";
import { upstreamAt } from "../support/upstream.ts";

const UPSTREAMS = [upstreamAt("http://upstream.test/v1")];
export const HEARTBEAT_MS = 10_000;
/** A lane a call, and a connection for each. */
const ROOM = { plan: planLanes(100, 100), slots: new Slots(100), memory: roomyMemory() };

/** A task of a batch: its body names it, so that the upstream can tell calls apart. */
export const task = (seq: number, batch = "a"): Assignment => ({
  seq,
  attempt: 1,
  upstream: "default",
  body: `${batch}${seq}`,
  startInMs: 0,
});
export const tasks = (...seqs: number[]) => seqs.map((seq) => task(seq));
export const claims = (...seqs: number[]) => seqs.map((seq) => ({ seq, attempt: 1 }));
export const seqsOf = ({ reports }: ExchangeRequest) => reports.map(({ seq }) => seq);

/** An upstream that answers when the test says so, or by itself after `latencyMs`. */
export class Api {
  /** The bodies of all calls, in order. */
  readonly calls: string[] = [];
  latencyMs: ((body: string) => number) | undefined;
  readonly #open = new Map<string, (answer: Response) => void>();

  fetch = (_url: string, { body }: { body: string }): Promise<Response> => {
    this.calls.push(body);
    return new Promise((resolve) => {
      this.#open.set(body, resolve);
      if (this.latencyMs) setTimeout(() => this.#answer(body, "{}"), this.latencyMs(body));
    });
  };

  get inFlight(): number {
    return this.#open.size;
  }

  /** Answers a call of batch a with a 429, and waits for what follows. */
  refuse(seq: number): Promise<void> {
    this.#answer(`a${seq}`, "{}", 429);
    return pass(0);
  }

  #answer(body: string, text: string, status = 200): void {
    this.#open.get(body)?.(new Response(text, { status }));
    this.#open.delete(body);
  }

  /** Ends calls of batch a, in this order, and waits for what follows. */
  async end(seqs: number[], text = "{}"): Promise<void> {
    for (const seq of seqs) {
      this.#answer(`a${seq}`, text);
      await pass(0);
    }
  }
}

/** One exchange that the Batch has heard; the test answers it, and waits for what follows. */
interface Heard {
  atMs: number;
  request: ExchangeRequest;
  answer(reply?: Partial<ExchangeReply>): Promise<void>;
  fail(): Promise<void>;
}

const REPLY: ExchangeReply = {
  endpoint: "/v1/chat/completions",
  tasks: [],
  more: 1_000,
  waitMs: 100,
  contended: false,
  end: false,
  invite: null,
};

/** A conversation whose Batch answers when the test says so. */
export class Talk {
  readonly heard: Heard[] = [];
  readonly lanes: Lanes;
  readonly invited: BatchRef[] = [];
  spent = 0;
  over = false;
  ended = false;

  constructor(lanes: Lanes | number, rest: Partial<Ground> = {}) {
    this.lanes = typeof lanes === "number" ? new Lanes(lanes) : lanes;
    const conversation = new Conversation({
      holder: "h1",
      invited: false,
      upstreams: UPSTREAMS,
      lanes: this.lanes,
      ...ROOM,
      exchange: (request) => this.#hear(request),
      listen: () => this.#listen(),
      invite: (ref) => this.invited.push(ref),
      over: () => this.over,
      spend: () => {
        this.spent += 1;
      },
      heartbeatMs: HEARTBEAT_MS,
      ...rest,
    });
    void conversation.run().then(() => {
      this.ended = true;
    });
  }

  /** Tells the conversation that there are calls; nobody does by itself. */
  call: () => void = () => undefined;

  #listen(): Promise<void> {
    return new Promise((resolve) => {
      this.call = resolve;
    });
  }

  #hear(request: ExchangeRequest): Promise<ExchangeReply> {
    return new Promise((resolve, reject) => {
      this.heard.push({
        atMs: Date.now(),
        request: structuredClone(request),
        answer: (reply) => {
          resolve({ ...REPLY, ...reply });
          return pass(0);
        },
        fail: () => {
          reject(new Error("the Batch is away"));
          return pass(0);
        },
      });
    });
  }

  /** The last exchange. */
  get last(): Heard {
    const last = this.heard.at(-1);
    if (last === undefined) throw new Error("nothing was exchanged");
    return last;
  }
}

/** Time passes, and everything that is due by then has happened. */
export async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
}

/** Puts an upstream in the place of `fetch`, and a clock that the test moves in that of time. */
export function standIn(): Api {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
  const api = new Api();
  vi.stubGlobal("fetch", api.fetch);
  vi.spyOn(console, "warn").mockImplementation(() => {});
  vi.spyOn(console, "error").mockImplementation(() => {});
  return api;
}

/** Takes them away again. */
export function stepBack(): void {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
}

/** A Batch that answers by itself, a little later, and the conversation with it. */
export class Desk {
  readonly requests: { atMs: number; request: ExchangeRequest }[] = [];
  /** When a call was begun, and in what numbers. */
  readonly takenAtMs: number[] = [];
  /** Whether it has tasks without end, or never any. */
  hasTasks: boolean;
  #seq = 0;

  constructor(lanes: Lanes, name: string, hasTasks: boolean, replyMs = 5) {
    this.hasTasks = hasTasks;
    const exchange = async (request: ExchangeRequest): Promise<ExchangeReply> => {
      this.requests.push({ atMs: Date.now(), request });
      await new Promise((resolve) => setTimeout(resolve, replyMs));
      const given: Assignment[] = [];
      while (this.hasTasks && given.length < request.want) {
        given.push(task(this.#seq, name));
        this.takenAtMs.push(Date.now());
        this.#seq += 1;
      }
      return { ...REPLY, tasks: given };
    };
    void new Conversation({
      holder: name,
      invited: false,
      upstreams: UPSTREAMS,
      lanes,
      ...ROOM,
      exchange,
      listen: () => new Promise(() => undefined),
      invite: () => {},
      over: () => false,
      spend: () => {},
      heartbeatMs: HEARTBEAT_MS,
    }).run();
  }
}
