import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Assignment, ExchangeReply, ExchangeRequest } from "../../src/batch/exchange.ts";
import { Conversation, type Ground } from "../../src/consumer/conversation.ts";
import { Lanes } from "../../src/consumer/lanes.ts";
import { Memory } from "../../src/consumer/memory.ts";
import { Slots } from "../../src/consumer/slots.ts";
import { planLanes } from "../../src/consumer/weight.ts";
import type { BatchRef } from "../../src/wire/messages.ts";
import { roomyMemory } from "../support/call-ground.ts";
import { upstreamAt } from "../support/upstream.ts";

const UPSTREAMS = [upstreamAt("http://upstream.test/v1")];
const HEARTBEAT_MS = 10_000;
/** A lane a call, and a connection for each. */
const ROOM = { plan: planLanes(100, 100), slots: new Slots(100), memory: roomyMemory() };

/** A task of a batch: its body names it, so that the upstream can tell calls apart. */
const task = (seq: number, batch = "a"): Assignment => ({
  seq,
  attempt: 1,
  upstream: "default",
  body: `${batch}${seq}`,
  startInMs: 0,
});
const tasks = (...seqs: number[]) => seqs.map((seq) => task(seq));
const claims = (...seqs: number[]) => seqs.map((seq) => ({ seq, attempt: 1 }));
const seqsOf = ({ reports }: ExchangeRequest) => reports.map(({ seq }) => seq);

/** An upstream that answers when the test says so, or by itself after `latencyMs`. */
class Api {
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
class Talk {
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
async function pass(ms: number): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
}

let api: Api;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
  api = new Api();
  vi.stubGlobal("fetch", api.fetch);
  vi.spyOn(console, "warn").mockImplementation(() => {});
  vi.spyOn(console, "error").mockImplementation(() => {});
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

describe("a conversation", () => {
  test("wants as many tasks as it has lanes, and calls the upstream for those it gets", async () => {
    const talk = new Talk(3, { invited: true });
    expect(talk.last.request).toEqual({
      holder: "h1",
      invited: true,
      reports: [],
      holding: [],
      want: 3,
      leaving: false,
    });
    await talk.last.answer({ tasks: tasks(1, 2) });
    expect(api.calls).toEqual(["a1", "a2"]);
    expect(talk.lanes.take()).toBe(1);
  });

  test("starts a call when its permit starts, and not before", async () => {
    const talk = new Talk(2);
    await talk.last.answer({ tasks: [task(1), { ...task(2), startInMs: 200 }] });
    expect(api.calls).toEqual(["a1"]);
    await pass(199);
    expect(api.calls).toEqual(["a1"]);
    await pass(1);
    expect(api.calls).toEqual(["a1", "a2"]);
  });

  test("is ended by the Batch, and gives all its lanes back", async () => {
    const talk = new Talk(3);
    await talk.last.answer({ end: true });
    expect(talk.ended).toBe(true);
    expect(talk.lanes.take()).toBe(3);
  });

  test("reports what came in during the exchange that ended it, before it ends", async () => {
    const talk = new Talk(2);
    await talk.last.answer({ tasks: tasks(1, 2) });
    await api.end([1]);
    await api.end([2]);
    await talk.last.answer({ end: true });
    expect(talk.ended).toBe(false);
    expect(seqsOf(talk.last.request)).toEqual([2]);
    await talk.last.answer({ end: true });
    expect(talk.ended).toBe(true);
  });

  test("that is ended while it stands in line leaves the line", async () => {
    const lanes = new Lanes(1);
    const cancelled = new Talk(lanes);
    await cancelled.last.answer({ tasks: tasks(1) });
    const other = new Talk(lanes, { holder: "h2" });
    await other.last.answer();
    await pass(HEARTBEAT_MS);
    await other.last.answer();
    await cancelled.last.answer({ end: true });
    expect(cancelled.ended).toBe(true);
    await api.end([1]);
    expect(other.last.request.want).toBe(1);
  });

  test("that is ended gives back the lanes it was granted meanwhile", async () => {
    const lanes = new Lanes(1);
    const other = new Talk(lanes, { holder: "h2" });
    const idle = new Talk(lanes);
    await idle.last.answer();
    await pass(HEARTBEAT_MS);
    // It stands in line and speaks, and the lane comes free.
    await other.last.answer({ end: true });
    expect(lanes.take()).toBe(0);
    await idle.last.answer({ end: true });
    expect(lanes.take()).toBe(1);
  });

  test("passes invitations on, and counts its calls and exchanges", async () => {
    const other = { project: "p", batch_id: "batch_other" };
    const talk = new Talk(2);
    await talk.last.answer({ tasks: tasks(1, 2), invite: other });
    expect(talk.invited).toEqual([other]);
    // Two exchanges, a call, and the wish to be called.
    expect(talk.spent).toBe(4);
  });
});

describe("reports", () => {
  test("that come while an exchange is under way go out together with the next one", async () => {
    const talk = new Talk(6);
    await talk.last.answer({ tasks: tasks(1, 2, 3, 4, 5, 6) });
    await api.end([1]);
    expect(talk.heard).toHaveLength(2);
    await api.end([2, 3, 4, 5, 6]);
    await pass(1_000);
    expect(talk.heard).toHaveLength(2);
    expect(seqsOf(talk.last.request)).toEqual([1]);
    await talk.last.answer();
    expect(talk.heard).toHaveLength(3);
    expect(seqsOf(talk.last.request)).toEqual([2, 3, 4, 5, 6]);
    expect(talk.last.request).toMatchObject({ holding: [], want: 6 });
    await talk.last.answer();
    await pass(1_000);
    expect(talk.heard.slice(3).flatMap(({ request }) => seqsOf(request))).toEqual([]);
  });

  test("go out as soon as they are there, though lanes are free and rest", async () => {
    const talk = new Talk(2);
    await talk.last.answer({ tasks: tasks(1), waitMs: 400 });
    await pass(10);
    await api.end([1]);
    expect(talk.heard).toHaveLength(2);
    expect(seqsOf(talk.last.request)).toEqual([1]);
  });

  describe("while many calls are in flight", () => {
    /** A conversation with calls that take 100 ms, begun by an exchange that took as long. */
    async function busy(calls: number, exchangeMs: number): Promise<Talk> {
      const talk = new Talk(calls, { slots: new Slots(calls) });
      await pass(exchangeMs);
      await talk.last.answer({ tasks: tasks(...Array.from({ length: calls }, (_, n) => n)) });
      await pass(100);
      return talk;
    }

    test("wait for others that are likely soon, and go out together", async () => {
      const talk = await busy(50, 8);
      await api.end([0]);
      await pass(4);
      await api.end([1, 2]);
      expect(talk.heard).toHaveLength(1);
      await pass(4);
      expect(talk.heard).toHaveLength(2);
      expect(seqsOf(talk.last.request)).toEqual([0, 1, 2]);
    });

    test("wait no longer than a tenth of a call's time, however slow exchanges are", async () => {
      const talk = await busy(50, 3_000);
      await api.end([0]);
      await pass(9);
      expect(talk.heard).toHaveLength(1);
      await pass(1);
      expect(talk.heard).toHaveLength(2);
    });

    test("go out at once when no other is likely while an exchange takes", async () => {
      const talk = await busy(9, 8);
      await api.end([0]);
      expect(seqsOf(talk.last.request)).toEqual([0]);
    });
  });

  describe("while there is no call for the batch before a time", () => {
    /** A conversation with five calls in flight whose Batch has nothing for it for a while. */
    async function resting(patienceMs: number): Promise<Talk> {
      const talk = new Talk(9);
      await talk.last.answer({ tasks: tasks(0, 1, 2, 3, 4), waitMs: patienceMs, patienceMs });
      return talk;
    }

    test("go out together then, as asking sooner hastens nothing", async () => {
      const talk = await resting(80);
      await pass(10);
      await api.end([0, 1]);
      await pass(60);
      await api.end([2]);
      expect(talk.heard).toHaveLength(1);
      await pass(10);
      expect(seqsOf(talk.last.request)).toEqual([0, 1, 2]);
    });

    test("wait a tenth of a second and no longer, so that little is lost with a consumer", async () => {
      const talk = await resting(60_000);
      await api.end([0]);
      await pass(99);
      expect(talk.heard).toHaveLength(1);
      await pass(1);
      expect(seqsOf(talk.last.request)).toEqual([0]);
    });

    test("go out at once with the last call's", async () => {
      const talk = await resting(80);
      await api.end([0, 1, 2, 3, 4]);
      expect(seqsOf(talk.last.request)).toEqual([0, 1, 2, 3, 4]);
    });

    test("go out at once with a 429, which the calls of others must hear of", async () => {
      const talk = await resting(80);
      await api.end([0]);
      await api.refuse(1);
      expect(seqsOf(talk.last.request)).toEqual([0, 1]);
    });
  });

  test("of more than 1,000,000 characters are spread over exchanges, each said once", async () => {
    const talk = new Talk(8);
    await talk.last.answer({ tasks: tasks(0, 1, 2, 3, 4, 5, 6, 7) });
    await api.end([0]);
    await api.end([1, 2, 3, 4, 5, 6], JSON.stringify("x".repeat(224_998)));
    await talk.last.answer();
    expect(seqsOf(talk.last.request)).toEqual([1, 2, 3, 4]);
    // Those of the next exchange are still its own: the Batch must not take them back.
    expect(talk.last.request.holding).toEqual(expect.arrayContaining(claims(5, 6, 7)));
    expect(talk.last.request.holding).toHaveLength(3);
    await talk.last.answer();
    expect(seqsOf(talk.last.request)).toEqual([5, 6]);
    expect(talk.last.request.holding).toEqual(claims(7));
    for (const { request } of talk.heard) {
      const characters = request.reports.reduce(
        (sum, { result }) => sum + (result.kind === "answered" ? result.body.length : 0),
        0,
      );
      expect(characters).toBeLessThanOrEqual(1_000_000);
    }
  });

  test("that are spread over exchanges do not end with the first of them", async () => {
    const talk = new Talk(6);
    await talk.last.answer({ tasks: tasks(0, 1, 2, 3, 4, 5) });
    await api.end([0]);
    await api.end([1, 2, 3, 4, 5], JSON.stringify("x".repeat(224_998)));
    await talk.last.answer();
    await talk.last.answer({ end: true });
    expect(talk.ended).toBe(false);
    expect(seqsOf(talk.last.request)).toEqual([5]);
  });
});

describe("memory", () => {
  test("without room for more bodies has no tasks taken, until a call ends", async () => {
    const memory = new Memory({ answerBytes: 1e9, bodyChars: 4 });
    const talk = new Talk(6, { memory });
    await talk.last.answer({ tasks: tasks(1, 2) });
    await pass(100);
    expect(talk.heard).toHaveLength(2);
    expect(talk.last.request.want).toBe(0);
    await talk.last.answer();
    // Its lanes are for others meanwhile, and it does not ask in circles.
    expect(talk.lanes.take()).toBe(4);
    talk.lanes.give(4);
    for (let second = 0; second < 3; second += 1) {
      await pass(1_000);
      await talk.last.answer();
    }
    expect(talk.heard.length).toBeLessThan(10);
    await api.end([1]);
    expect(talk.last.request.want).toBe(5);
  });

  test("holds answers until the Batch has them", async () => {
    const memory = new Memory({ answerBytes: 30, bodyChars: 1e9 });
    const talk = new Talk(4, { memory });
    await talk.last.answer({ tasks: tasks(1, 2, 3, 4) });
    // Of two bytes a character, the first fits, the second is over it, the others wait.
    await api.end([1, 2, 3, 4], JSON.stringify("x".repeat(10)));
    expect(seqsOf(talk.last.request)).toEqual([1]);
    await talk.last.answer();
    expect(seqsOf(talk.last.request)).toEqual([2]);
    await talk.last.answer();
    expect(seqsOf(talk.last.request)).toEqual([3]);
    await talk.last.answer();
    expect(seqsOf(talk.last.request)).toEqual([4]);
  });
});

describe("a call that ends", () => {
  test("refills its lane without waiting for the others", async () => {
    const talk = new Talk(2);
    await talk.last.answer({ tasks: tasks(1, 2) });
    for (const seq of [2, 3, 4, 5]) {
      await api.end([seq]);
      expect(talk.last.request).toMatchObject({ want: 1, holding: claims(1) });
      expect(seqsOf(talk.last.request)).toEqual([seq]);
      await talk.last.answer({ tasks: tasks(seq + 1) });
      expect(api.calls.at(-1)).toBe(`a${seq + 1}`);
    }
    expect(api.inFlight).toBe(2);
  });

  test("gives its lane to another conversation that waits for one", async () => {
    const lanes = new Lanes(1);
    const busy = new Talk(lanes);
    await busy.last.answer({ tasks: tasks(1) });
    const other = new Talk(lanes, { holder: "h2" });
    expect(other.last.request.want).toBe(0);
    await other.last.answer();
    await api.end([1]);
    // The busy one stood in line first, and goes behind the other after its turn.
    await busy.last.answer({ tasks: tasks(2) });
    await api.end([2]);
    expect(busy.last.request.want).toBe(0);
    expect(other.last.request.want).toBe(1);
  });
});

describe("an exchange that fails", () => {
  test("is said again with the same reports first, and holds exactly the calls in flight", async () => {
    const talk = new Talk(4);
    await talk.last.answer({ tasks: tasks(1, 2, 3, 4) });
    await api.end([1]);
    await api.end([2]);
    // What this answer would have given is never heard of, and so not held.
    await talk.last.fail();
    await api.end([3]);
    expect(talk.heard).toHaveLength(2);
    await pass(200);
    expect(talk.heard).toHaveLength(3);
    expect(seqsOf(talk.last.request)).toEqual([1, 2, 3]);
    expect(talk.last.request).toMatchObject({ holding: claims(4), want: 3 });
    await talk.last.fail();
    await pass(400);
    expect(seqsOf(talk.last.request)).toEqual([1, 2, 3]);
    expect(talk.last.request.holding).toEqual(claims(4));
    await talk.last.answer();
    await pass(5_000);
    expect(talk.heard.slice(4).flatMap(({ request }) => seqsOf(request))).toEqual([]);
  });

  test("gives its lanes to others meanwhile", async () => {
    const talk = new Talk(2);
    await talk.last.fail();
    expect(talk.lanes.take()).toBe(2);
    await pass(200);
    expect(talk.last.request.want).toBe(0);
  });

  test("holds no lanes that others could use, those it stands in line for included", async () => {
    const lanes = new Lanes(2);
    const broken = new Talk(lanes);
    await broken.last.answer({ tasks: tasks(1, 2) });
    const other = new Talk(lanes, { holder: "h2" });
    await other.last.answer();
    await pass(HEARTBEAT_MS);
    await other.last.answer();
    // Both stand in line; the broken one is first.
    await broken.last.fail();
    await api.end([1]);
    expect(other.last.request.want).toBeGreaterThan(0);
  });

  test("is waited after for longer each time, and given up after twenty in a row", async () => {
    const talk = new Talk(2);
    for (let failed = 1; failed < 20; failed += 1) {
      await talk.last.fail();
      await pass(Math.min(5_000, 100 * 2 ** failed) - 1);
      expect(talk.heard).toHaveLength(failed);
      await pass(1);
      expect(talk.heard).toHaveLength(failed + 1);
    }
    expect(talk.ended).toBe(false);
    await talk.last.fail();
    await pass(5_000);
    expect(talk.ended).toBe(true);
    expect(talk.heard).toHaveLength(20);
    expect(talk.lanes.take()).toBe(2);
  });

  test("counts anew after one that was answered", async () => {
    const talk = new Talk(2);
    for (let round = 0; round < 30; round += 1) {
      await talk.last.fail();
      await pass(5_000);
      await talk.last.answer();
      await pass(5_000);
    }
    expect(talk.ended).toBe(false);
  });
});

describe("an exchange that is never answered", () => {
  test("is taken for lost after a minute, and said again", async () => {
    const talk = new Talk(2);
    await talk.last.answer({ tasks: tasks(1, 2) });
    await api.end([1]);
    expect(talk.heard).toHaveLength(2);
    await pass(59_999);
    await api.end([2]);
    expect(talk.heard).toHaveLength(2);
    await pass(1);
    await pass(200);
    expect(talk.heard).toHaveLength(3);
    expect(seqsOf(talk.last.request)).toEqual([1, 2]);
    expect(talk.last.request).toMatchObject({ want: 2, holding: [] });
  });

  test("has its tasks not called when its answer comes after all", async () => {
    const talk = new Talk(2);
    const [late] = talk.heard;
    await pass(60_200);
    expect(talk.heard).toHaveLength(2);
    await late?.answer({ tasks: tasks(1, 2) });
    expect(api.calls).toEqual([]);
    await talk.last.answer({ tasks: tasks(3) });
    expect(api.calls).toEqual(["a3"]);
  });
});

describe("a conversation whose time is over", () => {
  test("takes no tasks, waits for its calls in flight, and then ends", async () => {
    const talk = new Talk(3);
    await talk.last.answer({ tasks: tasks(1, 2), waitMs: 300 });
    talk.over = true;
    await api.end([1]);
    expect(talk.last.request).toMatchObject({ leaving: true, want: 0, holding: claims(2) });
    expect(seqsOf(talk.last.request)).toEqual([1]);
    await talk.last.answer();
    await pass(9_000);
    expect(talk.heard).toHaveLength(2);
    expect(talk.ended).toBe(false);
    await api.end([2]);
    expect(talk.last.request).toMatchObject({ leaving: true, want: 0, holding: [] });
    expect(seqsOf(talk.last.request)).toEqual([2]);
    await talk.last.answer({ end: true });
    expect(talk.ended).toBe(true);
    expect(talk.lanes.take()).toBe(3);
  });

  test("leaves its lanes to the others", async () => {
    const lanes = new Lanes(2);
    const leaver = new Talk(lanes);
    await leaver.last.answer({ tasks: tasks(1, 2) });
    leaver.over = true;
    const other = new Talk(lanes, { holder: "h2" });
    await other.last.answer();
    await api.end([1, 2]);
    expect(leaver.last.request).toMatchObject({ want: 0, leaving: true });
    expect(other.last.request.want).toBeGreaterThan(0);
    await other.last.answer();
    await pass(1_000);
    expect(other.last.request.want).toBe(2);
  });

  test("is heard while its last call runs on", async () => {
    const talk = new Talk(1);
    await talk.last.answer({ tasks: tasks(1) });
    talk.over = true;
    for (let beat = 1; beat <= 3; beat += 1) {
      await pass(HEARTBEAT_MS);
      expect(talk.heard).toHaveLength(1 + beat);
      expect(talk.last.request).toMatchObject({ leaving: true, holding: claims(1) });
      await talk.last.answer();
    }
  });
});

describe("a long call", () => {
  test("keeps its conversation heard, with what it holds, and no more often than needed", async () => {
    const talk = new Talk(1);
    await talk.last.answer({ tasks: tasks(1) });
    const startMs = Date.now();
    for (let beat = 1; beat <= 4; beat += 1) {
      await pass(HEARTBEAT_MS);
      expect(talk.heard).toHaveLength(1 + beat);
      expect(talk.last.atMs).toBe(startMs + beat * HEARTBEAT_MS);
      expect(talk.last.request).toMatchObject({ reports: [], holding: claims(1), want: 0 });
      await talk.last.answer();
    }
    await api.end([1]);
    expect(seqsOf(talk.last.request)).toEqual([1]);
  });
});

/** A Batch that answers by itself, a little later, and the conversation with it. */
class Desk {
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

describe("twenty conversations that share lanes", () => {
  test.each([1, 5, 20])(
    "and are granted nothing speak a few times a second each, answered in %i ms",
    async (replyMs) => {
      const lanes = new Lanes(6);
      const desks = Array.from(
        { length: 20 },
        (_, index) => new Desk(lanes, `b${index}-`, false, replyMs),
      );
      await pass(1_000);
      for (const { requests } of desks) {
        expect(requests.length).toBeLessThanOrEqual(20);
        // Each of them had lanes to ask with.
        expect(requests.some(({ request }) => request.want > 0)).toBe(true);
      }
      await pass(9_000);
      for (const { requests } of desks) expect(requests.length).toBeLessThanOrEqual(200);
    },
  );

  test("speak no more often for being many", async () => {
    const countOf = async (size: number) => {
      const lanes = new Lanes(6);
      const desks = Array.from(
        { length: size },
        (_, index) => new Desk(lanes, `n${index}-`, false),
      );
      await pass(5_000);
      return desks.reduce((sum, { requests }) => sum + requests.length, 0) / size;
    };
    expect(await countOf(40)).toBeLessThanOrEqual((await countOf(2)) * 2);
  });

  test("speak once a call when all have work, and all get to call", async () => {
    api.latencyMs = () => 100;
    const lanes = new Lanes(6);
    const desks = Array.from({ length: 20 }, (_, index) => new Desk(lanes, `b${index}-`, true));
    await pass(10_000);
    const exchanges = desks.reduce((sum, { requests }) => sum + requests.length, 0);
    expect(api.calls.length).toBeGreaterThan(0.8 * 6 * (10_000 / 105));
    // One that takes a task, one that reports it, and the first.
    expect(exchanges).toBeLessThanOrEqual(2 * api.calls.length + 2 * desks.length);
    for (const { takenAtMs } of desks) expect(takenAtMs.length).toBeGreaterThan(0);
  });
});

test("a task for an upstream that is not known here is not begun, and the invocation leaves", async () => {
  const talk = new Talk(3);
  await talk.last.answer({ tasks: [task(0), { ...task(1), upstream: "of a newer deploy" }] });
  expect(api.calls).toEqual(["a0"]);
  // It holds the first alone, so the Batch takes the other back; it asks for no more.
  expect(talk.last.request).toMatchObject({ reports: [], want: 0, leaving: true });
  expect(talk.last.request.holding).toEqual([{ seq: 0, attempt: 1 }]);
});

describe("two busy conversations that share six lanes", () => {
  const CALL_MS = 100;

  test.each([
    ["end together", () => CALL_MS],
    ["end one by one", (body: string) => CALL_MS - 3 * (Number(body.slice(1)) % 10)],
  ])("get lanes within one call of each other when their calls %s", async (_, latencyMs) => {
    api.latencyMs = latencyMs;
    const lanes = new Lanes(6);
    const first = new Desk(lanes, "a", true);
    await pass(1_000);
    expect(api.inFlight).toBe(6);
    const before = first.takenAtMs.length;
    const second = new Desk(lanes, "b", true);
    const joinedMs = Date.now();
    await pass(10_000);
    const starts = second.takenAtMs;
    expect(starts[0]).toBeLessThanOrEqual(joinedMs + CALL_MS + 3 * 5);
    const shares = [first.takenAtMs.length - before, starts.length];
    expect(Math.min(...shares) / Math.max(...shares)).toBeGreaterThan(0.9);
    for (const { takenAtMs } of [first, second]) {
      // A call's time, and the two exchanges around it.
      const gaps = takenAtMs.slice(1).map((atMs, index) => atMs - (takenAtMs[index] ?? 0));
      expect(Math.max(...gaps)).toBeLessThanOrEqual(CALL_MS + 3 * 5);
    }
    expect(api.calls.length).toBeGreaterThan(0.8 * 6 * (11_000 / (CALL_MS + 5)));
  });

  test("share them about evenly when their calls do not end together", async () => {
    let seed = 7;
    api.latencyMs = () => {
      seed = (seed * 48_271) % 2_147_483_647;
      return 50 + (seed % 100);
    };
    const lanes = new Lanes(6);
    const first = new Desk(lanes, "a", true);
    await pass(1_000);
    const before = first.takenAtMs.length;
    const second = new Desk(lanes, "b", true);
    await pass(20_000);
    const [a, b] = [first.takenAtMs.length - before, second.takenAtMs.length];
    expect(Math.min(a, b) / (a + b)).toBeGreaterThan(0.4);
  });
});
