import "vitest";

interface FaultOfTests {
  match?: string | undefined;
  headers?: Record<string, string> | undefined;
}

/** What the worker tests' setup, which runs in Node, gives to the tests, which run in workerd. */
declare module "vitest" {
  interface ProvidedContext {
    upstreamUrl: string;
    /** What the simulator was started with; see `PUT /_sim/settings`. */
    upstreamSettings: { faults: FaultOfTests[] };
    receiverUrl: string;
    /** Of `api/fuzz`: requests a route, and the seed they are made from. */
    fuzz: { runs: number; seed: number };
  }
}
