import type { Assignment } from "../../src/batch/exchange.ts";
import { type Floor, type News, Permits } from "../../src/batch/permits.ts";
import type { AcquireReply, AcquireRequest } from "../../src/limiter/acquire.ts";
import type { BatchRef } from "../../src/wire/messages.ts";

type Said = Omit<AcquireRequest, "ref">;

export const QUIET: News = { extraTokens: 0, throttled: undefined, answered: false };
export const ANSWERED: News = { extraTokens: 5, throttled: undefined, answered: true };
export const INVITED: BatchRef = { project: "p", batch_id: "batch_other" };

/** One ask that the Limiter has heard; the test answers it. */
interface Heard {
  said: Said;
  grant(startInMs: number[], rest?: Partial<AcquireReply>): Promise<void>;
  refuse(): Promise<void>;
}

const GRANT = { contended: false, kept: false, invite: null };

/** A batch's floor with `open` tasks, and a Limiter that answers when the test says so. */
export class Stage implements Floor {
  readonly heard: Heard[] = [];
  readonly claims: { holder: string; startInMs: readonly number[] }[] = [];
  running = 0;
  open: number;
  claimFails = false;
  clockMs = 0;
  /** How often somebody was told to come for calls that are kept. */
  calls = 0;
  readonly permits: Permits;

  constructor(open = 100) {
    this.open = open;
    this.permits = new Permits(this);
  }

  held(): number {
    return this.running;
  }

  costs(want: number): number[] {
    return Array.from({ length: Math.min(want, this.open) }, (_, index) => 10 + index);
  }

  ready(): number {
    return this.open;
  }

  nowMs(): number {
    return this.clockMs;
  }

  weight(): number {
    return 10;
  }

  served(): boolean {
    return true;
  }

  called(): void {
    this.calls += 1;
  }

  meanOutput(): void {}

  claim(holder: string, startInMs: readonly number[]): Assignment[] {
    if (this.claimFails) throw new Error("storage is away");
    this.claims.push({ holder, startInMs: [...startInMs] });
    const tasks = startInMs.slice(0, this.open).map((startMs, index) => ({
      seq: this.running + index,
      attempt: 1,
      upstream: "default",
      body: "{}",
      startInMs: startMs,
    }));
    this.open -= tasks.length;
    this.running += tasks.length;
    return tasks;
  }

  acquire(said: Said): Promise<AcquireReply> {
    return new Promise((resolve, reject) => {
      this.heard.push({
        said,
        grant: (startInMs, rest) => {
          const retryInMs = rest?.retryInMs ?? null;
          const blockedBy = retryInMs === null ? null : "rate";
          resolve({ ...GRANT, startInMs, retryInMs, blockedBy, ...rest });
          return settled();
        },
        refuse: () => {
          reject(new Error("the Limiter is away"));
          return settled();
        },
      });
    });
  }

  /** The last ask. */
  get last(): Heard {
    const last = this.heard.at(-1);
    if (last === undefined) throw new Error("nothing was asked");
    return last;
  }
}

/** Everything that follows from what has been answered so far has happened. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}
