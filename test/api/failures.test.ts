import { expect, test } from "vitest";
import { Failures } from "../../src/api/failures.ts";

const NOW = 1_800_000_000_000;

function sent(failures: Failures, address: string, times: number): number {
  let waitMs = 0;
  for (let n = 0; n < times; n += 1) waitMs = failures.note(address, NOW);
  return waitMs;
}

test("twenty wrong keys of an address are answered, the next one is to wait", () => {
  const failures = new Failures();
  expect(sent(failures, "192.0.2.1", 20)).toBe(0);
  expect(failures.note("192.0.2.1", NOW)).toBe(6_000);
  expect(failures.note("192.0.2.1", NOW + 6_000)).toBe(0);
});

test("another address is none the worse for it", () => {
  const failures = new Failures();
  sent(failures, "192.0.2.1", 50);
  expect(failures.note("192.0.2.2", NOW)).toBe(0);
});

test.each([
  ["2001:db8::1", "2001:0DB8:0:0:ffff::2"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"],
  ["::1", "::2"],
])("%s and %s are one network", (one, other) => {
  const failures = new Failures();
  sent(failures, one, 20);
  expect(failures.note(other, NOW)).toBeGreaterThan(0);
});

test("2001:db8:1:2:: and 2001:db8:1:3:: are two networks", () => {
  const failures = new Failures();
  sent(failures, "2001:db8:1:2::1", 30);
  expect(failures.note("2001:db8:1:3::1", NOW)).toBe(0);
});

test("nobody is slowed where no address is known", () => {
  const failures = new Failures();
  for (let n = 0; n < 100; n += 1) expect(failures.note(undefined, NOW)).toBe(0);
});

test("memory is bounded, and who was quiet longest is forgotten first", () => {
  const failures = new Failures();
  sent(failures, "192.0.2.1", 21);
  for (let n = 0; n < 9_999; n += 1) failures.note(`10.0.${n >> 8}.${n & 255}`, NOW);
  expect(failures.note("192.0.2.1", NOW)).toBeGreaterThan(0);
  for (let n = 0; n < 20_000; n += 1) failures.note(`10.1.${n >> 8}.${n & 255}`, NOW);
  expect(failures.size).toBe(10_000);
  expect(failures.note("192.0.2.1", NOW)).toBe(0);
});

test("a network that is slowed is told of once, until it has been patient", () => {
  const failures = new Failures();
  const slowed: string[] = [];
  const note = (nowMs: number) => failures.note("192.0.2.1", nowMs, (who) => slowed.push(who));
  for (let n = 0; n < 25; n += 1) note(NOW);
  expect(slowed).toEqual(["192.0.2.1"]);
  note(NOW + 6_000);
  note(NOW + 6_000);
  expect(slowed).toEqual(["192.0.2.1", "192.0.2.1"]);
});
