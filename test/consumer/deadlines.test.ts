import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Deadlines } from "../../src/consumer/deadlines.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it("tells each that is late, when it is late", () => {
  const deadlines = new Deadlines();
  const told: string[] = [];
  deadlines.set(100, () => told.push("a"));
  vi.advanceTimersByTime(40);
  deadlines.set(100, () => told.push("b"));
  deadlines.set(50, () => told.push("short"));
  vi.advanceTimersByTime(49);
  expect(told).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(told).toEqual(["short"]);
  vi.advanceTimersByTime(10);
  expect(told).toEqual(["short", "a"]);
  vi.advanceTimersByTime(40);
  expect(told).toEqual(["short", "a", "b"]);
});

it("tells nobody who was called off, and leaves no timer behind", () => {
  const deadlines = new Deadlines();
  const told: string[] = [];
  const off = ["a", "b"].map((name) => deadlines.set(100, () => told.push(name)));
  for (const call of off) call();
  expect(vi.getTimerCount()).toBe(0);
  vi.advanceTimersByTime(1_000);
  expect(told).toEqual([]);
});

it("has one timer, however many wait", () => {
  const deadlines = new Deadlines();
  for (let n = 0; n < 1_000; n += 1) deadlines.set(100, () => undefined);
  expect(vi.getTimerCount()).toBe(1);
});

it("lets a late one set another without losing those behind it", () => {
  const deadlines = new Deadlines();
  const told: string[] = [];
  deadlines.set(100, () => {
    told.push("a");
    deadlines.set(100, () => told.push("again"));
  });
  deadlines.set(100, () => told.push("b"));
  vi.advanceTimersByTime(100);
  expect(told).toEqual(["a", "b"]);
  vi.advanceTimersByTime(100);
  expect(told).toEqual(["a", "b", "again"]);
  expect(vi.getTimerCount()).toBe(0);
});

it("waits no longer than its time when the clock goes back meanwhile", () => {
  const deadlines = new Deadlines();
  const told: string[] = [];
  deadlines.set(100, () => told.push("a"));
  vi.setSystemTime(Date.now() - 3_600_000);
  vi.advanceTimersByTime(200);
  expect(told).toEqual([]);
  vi.setSystemTime(Date.now() + 3_600_000);
  vi.advanceTimersByTime(100);
  expect(told).toEqual(["a"]);
});
