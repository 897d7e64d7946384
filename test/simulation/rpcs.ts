/** A call from one object to another, or to the platform, that waits for the driver. */
export interface Rpc {
  readonly name: string;
  /** The generation that waits for it. */
  readonly owner: object;
  /** It is settled by then at the latest. */
  readonly latestMs: number;
  /** It is received and answered. What the receiver throws is its answer too. */
  complete(): void;
  /** It is received; its answer is lost. */
  loseReply(): void;
  /** It is never received. */
  fail(): void;
  /** It is received; who waited for the answer is gone. */
  arrive(): void;
}

/** All calls under way, oldest first. */
export class Rpcs {
  #pending: Rpc[] = [];

  get pending(): readonly Rpc[] {
    return this.#pending;
  }

  /** Adds a call. @param effect what receiving it does, and the answer it gets. */
  start<T>(name: string, owner: object, latestMs: number, effect: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const settle = (how: () => void) => {
        this.#pending = this.#pending.filter((other) => other !== rpc);
        how();
      };
      const rpc: Rpc = {
        name,
        owner,
        latestMs,
        complete: () =>
          settle(() => {
            try {
              resolve(effect());
            } catch (error) {
              reject(error);
            }
          }),
        loseReply: () =>
          settle(() => {
            try {
              effect();
            } finally {
              reject(new Error(`the reply to ${name} was lost`));
            }
          }),
        arrive: () => void effect(),
        fail: () => settle(() => reject(new Error(`${name} failed`))),
      };
      this.#pending.push(rpc);
    });
  }

  /** Takes away the calls of a generation that is gone: nobody waits for their answers. */
  abandon(owner: object): Rpc[] {
    const gone = this.#pending.filter((rpc) => rpc.owner === owner);
    this.#pending = this.#pending.filter((rpc) => rpc.owner !== owner);
    return gone;
  }
}
