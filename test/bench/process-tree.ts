import { readdirSync, readFileSync } from "node:fs";

/** CPU time and memory of a process and all its descendants, from Linux's /proc. */

/** What /proc says of one process. */
export interface ProcessStat {
  ppid: number;
  /** User and system time, that of its ended and awaited children included. */
  cpuMs: number;
}

/** Of a whole tree at one moment. */
export interface TreeUse {
  cpuMs: number;
  memoryBytes: number;
}

/** The kernel counts in hundredths of a second for programs, whatever its own tick is (USER_HZ). */
const MS_PER_TICK = 10;

/** Reads a line of /proc/PID/stat (proc(5)). The command's name may hold spaces and parentheses. */
export function parseStat(line: string): ProcessStat {
  const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
  const field = (number: number): number => Number(fields[number - 3]);
  const ticks = field(14) + field(15) + field(16) + field(17);
  return { ppid: field(4), cpuMs: ticks * MS_PER_TICK };
}

/** The bytes that /proc/PID/smaps_rollup gives as Pss: pages shared by n processes count 1/n. */
export function parsePss(text: string): number {
  return Number(/^Pss:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024;
}

/** The root and everything that descends from it, the root first. */
export function treeOf(root: number, parents: ReadonlyMap<number, number>): number[] {
  const children = new Map<number, number[]>();
  for (const [pid, ppid] of parents) {
    const siblings = children.get(ppid);
    if (siblings === undefined) children.set(ppid, [pid]);
    else siblings.push(pid);
  }
  const tree = parents.has(root) ? [root] : [];
  for (const pid of tree) tree.push(...(children.get(pid) ?? []));
  return tree;
}

/** Looks at a tree now. A process that ends meanwhile counts as far as it can be seen. */
export function readTree(root: number): TreeUse {
  const stats = new Map<number, ProcessStat>();
  for (const name of readdirSync("/proc")) {
    if (!/^[0-9]+$/.test(name)) continue;
    const line = readProc(`/proc/${name}/stat`);
    if (line !== undefined) stats.set(Number(name), parseStat(line));
  }
  const use: TreeUse = { cpuMs: 0, memoryBytes: 0 };
  const parents = new Map([...stats].map(([pid, { ppid }]) => [pid, ppid]));
  for (const pid of treeOf(root, parents)) {
    use.cpuMs += stats.get(pid)?.cpuMs ?? 0;
    use.memoryBytes += parsePss(readProc(`/proc/${pid}/smaps_rollup`) ?? "");
  }
  return use;
}

function readProc(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // It has ended.
    return undefined;
  }
}
