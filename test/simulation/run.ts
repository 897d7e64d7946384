import { parseArgs } from "node:util";
import { simulate } from "./driver.ts";

/**
 * The command. `--seed N` replays one seed with its whole trace; `--seeds N` runs many, from
 * `--base` on, and stops after `--failures` of them.
 */
const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string", default: "1000" },
    base: { type: "string", default: "1" },
    failures: { type: "string", default: "1" },
  },
});

if (values.seed === undefined) await runMany();
else await replay(Number(values.seed));

async function replay(seed: number): Promise<void> {
  const { failure, steps } = await simulate(seed, {
    tell: (line) => {
      console.log(line);
    },
  });
  if (failure === undefined) console.log(`seed ${seed} holds, in ${steps} steps`);
  else {
    console.error(failure.split("\n")[0]);
    process.exitCode = 1;
  }
}

async function runMany(): Promise<void> {
  const base = Number(values.base);
  const count = Number(values.seeds);
  const startedMs = performance.now();
  let steps = 0;
  let failures = 0;
  let seed = base;
  for (; seed < base + count && failures < Number(values.failures); seed += 1) {
    const outcome = await simulate(seed);
    steps += outcome.steps;
    if (outcome.failure === undefined) continue;
    failures += 1;
    console.error(`${outcome.failure}\n`);
    process.exitCode = 1;
  }
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  console.log(
    `${seed - base} seeds from ${base}, ${steps} steps in ${seconds} s: ${failures} failed`,
  );
}
