import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Watch } from "../../src/batch/watch.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function watched(): { watch: Watch<number>; state: { value: number; looks: number } } {
  const state = { value: 0, looks: 0 };
  const watch = new Watch(() => {
    state.looks += 1;
    return state.value;
  });
  return { watch, state };
}

describe("a watch", () => {
  it("answers at once what is good already, and what is not to be waited for", async () => {
    const { watch } = watched();
    expect(await watch.until((value) => value === 0, 1_000)).toBe(0);
    expect(await watch.until((value) => value === 1, 0)).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("answers soon after it is good", async () => {
    const { watch, state } = watched();
    const seen = watch.until((value) => value > 0, 10_000);
    await vi.advanceTimersByTimeAsync(500);
    state.value = 7;
    await vi.advanceTimersByTimeAsync(50);
    expect(await seen).toBe(7);
  });

  it("answers what there is when the time is over", async () => {
    const { watch } = watched();
    const seen = watch.until(() => false, 1_000);
    await vi.advanceTimersByTimeAsync(1_050);
    expect(await seen).toBe(0);
  });

  it("looks once for all who wait, and not at all when nobody does", async () => {
    const { watch, state } = watched();
    const all = Promise.all(Array.from({ length: 500 }, () => watch.until(() => false, 1_000)));
    const before = state.looks;
    await vi.advanceTimersByTimeAsync(1_100);
    await all;
    expect(state.looks - before).toBeLessThanOrEqual(21);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("fails all who wait when it cannot look, and looks again for the next", async () => {
    let broken = false;
    const watch = new Watch(() => {
      if (broken) throw new Error("gone");
      return 1;
    });
    const seen = watch.until(() => false, 1_000);
    const failed = expect(seen).rejects.toThrow("gone");
    broken = true;
    await vi.advanceTimersByTimeAsync(50);
    await failed;
    broken = false;
    expect(await watch.until((value) => value === 1, 1_000)).toBe(1);
  });
});
