import { expect, it } from "vitest";
import { shareFound } from "./share-found.ts";

const of = (seconds: number, count: number) => Array.from({ length: seconds }, () => count);

it("takes the rate from ten seconds after the first 429 on, without the last second", () => {
  const answered = [...of(12, 30), ...of(5, 96), 10, 0];
  const throttled = [0, 0, 4, ...of(16, 0)];
  expect(shareFound({ answered, throttled }, 100)).toBeCloseTo(0.96);
});

it("counts from the first answer when there was no 429", () => {
  const answered = [0, ...of(10, 50), ...of(4, 99), 3];
  expect(shareFound({ answered, throttled: of(16, 0) }, 100)).toBeCloseTo(0.99);
});

it("says nothing of a run that was over by then", () => {
  expect(shareFound({ answered: of(8, 100), throttled: [1] }, 100)).toBeNull();
  expect(shareFound({ answered: [], throttled: [] }, 100)).toBeNull();
});
