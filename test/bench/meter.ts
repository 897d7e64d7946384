import { readTree } from "./process-tree.ts";

/** What a process tree used while it was watched. */
export interface Used {
  /** Of all its processes, user and system. */
  cpuMs: number;
  /** The most memory at any look. */
  peakBytes: number;
  /** At the first look. */
  startBytes: number;
}

/** Looking reads page tables: often enough to see a peak, seldom enough to cost nothing. */
const LOOK_EVERY_MS = 250;

/** Watches a process and its descendants from this call until `stop`. */
export function watchTree(root: number): { stop(): Used } {
  const start = readTree(root);
  let peakBytes = start.memoryBytes;
  const look = () => {
    const now = readTree(root);
    peakBytes = Math.max(peakBytes, now.memoryBytes);
    return now;
  };
  const timer = setInterval(look, LOOK_EVERY_MS);
  return {
    stop() {
      clearInterval(timer);
      const end = look();
      return { cpuMs: end.cpuMs - start.cpuMs, peakBytes, startBytes: start.memoryBytes };
    },
  };
}
