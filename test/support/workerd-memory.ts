import { readdirSync, readFileSync } from "node:fs";

/** The most memory that a Muster's workerd has had resident, phase by phase. Linux only. */
export interface MemoryWatch {
  /** The most since the last call of this, in MB; 0 when nothing was seen. */
  peakMb(): number;
  stop(): void;
}

const LOOK_EVERY_MS = 50;

/** @param pid of the process group, now: it changes with a restart. */
export function watchMemory(pid: () => number): MemoryWatch {
  let peakBytes = 0;
  const timer = setInterval(() => {
    peakBytes = Math.max(peakBytes, residentBytes(pid()));
  }, LOOK_EVERY_MS);
  return {
    peakMb() {
      const peak = peakBytes;
      peakBytes = residentBytes(pid());
      return Math.round(peak / 1e6);
    },
    stop: () => clearInterval(timer),
  };
}

/** Of all workerd processes in a group. */
function residentBytes(group: number): number {
  let bytes = 0;
  for (const name of readdirSync("/proc")) {
    if (!/^[0-9]+$/.test(name)) continue;
    try {
      // proc(5): pid (comm) state ppid pgrp …; the name may hold spaces and parentheses.
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      const after = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      if (Number(after[2]) !== group || !stat.includes("(workerd)")) continue;
      const [, kb] =
        /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${name}/status`, "utf8")) ?? [];
      bytes += Number(kb ?? 0) * 1024;
    } catch {
      // It has ended meanwhile.
    }
  }
  return bytes;
}
