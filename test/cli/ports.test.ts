import { once } from "node:events";
import { createServer } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { freePort, isFree } from "../../src/cli/ports.ts";

test("a free port is none that connections which go out are given", async () => {
  for (const way of [1, -1]) {
    let pick = way > 0 ? 0 : 1;
    const port = await freePort(() => {
      pick += way * 1e-4;
      return pick;
    });
    expect(port).toBeGreaterThanOrEqual(20_000);
    expect(port).toBeLessThan(32_768);
  }
});

test("one that is in use is passed by", async () => {
  const taken = await freePort();
  const server = createServer().listen(taken, "127.0.0.1");
  onTestFinished(() => void server.close());
  await once(server, "listening");

  const picks = [(taken - 20_000 + 0.5) / 12_768];
  const found = await freePort(() => picks.pop() ?? Math.random());
  expect(picks).toEqual([]);
  expect(found).not.toBe(taken);
  expect(await isFree(taken)).toBe(false);
  expect(await isFree(found)).toBe(true);
});
