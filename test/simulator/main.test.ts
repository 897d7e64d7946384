import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { afterEach, expect, test } from "vitest";

const started: ChildProcess[] = [];

afterEach(() => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
});

function runMain(...args: string[]) {
  const file = new URL("../../src/simulator/main.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [file, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  started.push(child);
  return child;
}

test.each(["SIGINT", "SIGTERM"] as const)(
  "the runner prints its URL, answers, and stops on %s though a call hangs",
  async (signal) => {
    const child = runMain("--settings", '{"faults":[{"kind":"hang"}]}');
    const [url] = (await once(createInterface(child.stdout), "line")) as [string];
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/v1$/);
    expect((await fetch(`${url}/models`)).status).toBe(200);
    const body = JSON.stringify({ model: "m", messages: [{ role: "user", content: "x" }] });
    const hung = fetch(`${url}/chat/completions`, { method: "POST", body });
    const ended = expect(hung).rejects.toThrow();
    const exit = once(child, "exit");
    child.kill(signal);
    expect(await exit).toEqual([0, null]);
    await ended;
  },
);

test("the runner names the field of a wrong setting and exits with 1", async () => {
  const child = runMain("--settings", '{"seed":"x"}');
  const exit = once(child, "exit");
  const [line] = (await once(createInterface(child.stderr), "line")) as [string];
  expect(line).toContain("settings.seed");
  expect(await exit).toEqual([1, null]);
});
