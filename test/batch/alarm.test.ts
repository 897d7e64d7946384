import { beforeEach, describe, expect, test } from "vitest";
import { Alarm } from "../../src/batch/alarm.ts";

const NOW_MS = 1_000_000;
const MINUTE_MS = 60_000;

let nowMs = NOW_MS;
let setFor: (number | "none")[] = [];
const world = {
  nowMs: () => nowMs,
  setAlarm: (atMs: number) => void setFor.push(atMs),
  deleteAlarm: () => void setFor.push("none"),
};

beforeEach(() => {
  nowMs = NOW_MS;
  setFor = [];
});

describe("an alarm", () => {
  test("is set for the earliest time that was asked for", () => {
    const alarm = new Alarm(world, undefined);
    for (const inMs of [500, 900, 100, 200]) alarm.arm(NOW_MS + inMs);
    alarm.arm(undefined);
    expect(setFor).toEqual([NOW_MS + 500, NOW_MS + 100]);
  });

  test("is set for a time to come, when it is asked for one that is past", () => {
    new Alarm(world, undefined).arm(NOW_MS - 5);
    expect(setFor).toEqual([NOW_MS + 1]);
  });

  test("knows what it was set for before this instance", () => {
    new Alarm(world, NOW_MS + 100).arm(NOW_MS + 200);
    expect(setFor).toEqual([]);
  });

  test("that is due is left to come, and set again when it has been due for a minute", () => {
    const alarm = new Alarm(world, NOW_MS + 100);
    nowMs = NOW_MS + 100 + MINUTE_MS - 1;
    alarm.arm(nowMs + 10);
    expect(setFor).toEqual([]);
    nowMs += 1;
    alarm.arm(nowMs + 10);
    expect(setFor).toEqual([nowMs + 10]);
  });

  test("that rang is set for whatever comes next", () => {
    const alarm = new Alarm(world, NOW_MS);
    alarm.rang();
    alarm.arm(NOW_MS + 900);
    expect(setFor).toEqual([NOW_MS + 900]);
  });

  test("is set later, or for no time, by a reset alone", () => {
    const alarm = new Alarm(world, NOW_MS + 100);
    alarm.reset(NOW_MS + 900);
    alarm.reset(undefined);
    alarm.arm(NOW_MS + 950);
    expect(setFor).toEqual([NOW_MS + 900, "none", NOW_MS + 950]);
  });
});
