import { describe, expect, it } from "vitest";
import { readWait } from "../../src/core/prefer.ts";

describe("Prefer: wait", () => {
  it.each([
    ["wait=10", 10],
    ["wait=0", 0],
    ['wait="10"', 10],
    ["Wait = 7", 7],
    ["respond-async, wait=10", 10],
    ["wait=10, respond-async", 10],
    ["respond-async; x=1, wait=5; y", 5],
    ["wait=5, wait=9", 5],
    ["wait=31", 30],
    ["wait=999999999", 30],
  ])("%s is granted, to 30 seconds", (header, seconds) => {
    expect(readWait(header)).toBe(seconds);
  });

  it.each([
    undefined,
    "",
    "wait",
    "wait=",
    "wait=-1",
    "wait=1.5",
    "wait=ten",
    "await=10",
    "wait=1 0",
  ])("%s is no wait, and no error", (header) => {
    expect(readWait(header)).toBeUndefined();
  });
});
