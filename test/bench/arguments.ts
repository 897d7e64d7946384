import { Argument, Command, InvalidArgumentError, Option } from "commander";
import { type Workload, workloads } from "./workloads.ts";

/** What the benchmark was asked to do. */
export interface Wish {
  workloads: readonly Workload[];
  /** Names of peers beside Muster. */
  peers: readonly string[];
  seed: number;
  runs: number;
  /** A path to write all figures to. */
  json?: string | undefined;
}

/** Reads the command line. `--help` and mistakes are printed, and end the process. */
export function readWish(argv: readonly string[], peers: readonly string[]): Wish {
  const command = new Command("npm run bench --")
    .description(
      "Measures Muster, and what people use today, on the same workloads against a simulated API.",
    )
    .addArgument(
      new Argument("[workload...]", "which workloads; all but those marked * by default").choices(
        workloads.map(({ name }) => name),
      ),
    )
    .addOption(
      new Option("--peers <names>", `whom to measure beside Muster: ${peers.join(",")}; or none`)
        .default(peers, "all")
        .argParser((text) => peersOf(text, peers)),
    )
    .option("--seed <n>", "what latencies and faults are drawn from", wholeNumber, 1)
    .option("--runs <n>", "runs of each; the table gives medians", atLeastOne, 1)
    .option("--json <file>", "also write every run's figures here")
    .addHelpText("after", `\nWorkloads:\n${listed()}\n`)
    .parse(argv, { from: "user" });
  const names = command.args;
  const options = command.opts<Pick<Wish, "peers" | "seed" | "runs" | "json">>();
  const chosen = workloads.filter(({ name, byNameOnly }) =>
    names.length === 0 ? !byNameOnly : names.includes(name),
  );
  return { workloads: chosen, ...options };
}

function listed(): string {
  const width = Math.max(...workloads.map(({ name }) => name.length));
  return workloads
    .map(
      ({ name, about, byNameOnly }) =>
        `  ${byNameOnly ? "*" : " "} ${name.padEnd(width)}  ${about}`,
    )
    .join("\n");
}

function peersOf(text: string, peers: readonly string[]): string[] {
  if (text === "none") return [];
  const names = text.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !peers.includes(name));
  if (unknown === undefined) return names;
  throw new InvalidArgumentError(
    `There is no peer "${unknown}". Take ${peers.join(", ")} or none.`,
  );
}

function wholeNumber(text: string): number {
  if (/^[0-9]{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("Take a whole number.");
}

function atLeastOne(text: string): number {
  const value = wholeNumber(text);
  if (value >= 1) return value;
  throw new InvalidArgumentError("Take a whole number from 1.");
}
