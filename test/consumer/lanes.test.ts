import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Lanes } from "../../src/consumer/lanes.ts";

describe("lanes", () => {
  test("are taken all at once, and then there are none", () => {
    const lanes = new Lanes(6);
    expect(lanes.takeAll()).toBe(6);
    expect(lanes.takeAll()).toBe(0);
  });

  test("that were given back are taken again", () => {
    const lanes = new Lanes(6);
    lanes.takeAll();
    lanes.give(2);
    lanes.give(1);
    expect(lanes.takeAll()).toBe(3);
  });

  test("are never more than there were", () => {
    const share = fc.integer({ min: 0, max: 10 });
    fc.assert(
      fc.property(fc.nat({ max: 20 }), fc.array(share), (count, gifts) => {
        const lanes = new Lanes(count);
        let held = 0;
        for (const gift of gifts) {
          held += lanes.takeAll();
          expect(held).toBe(count);
          const given = Math.min(gift, held);
          lanes.give(given);
          held -= given;
        }
      }),
    );
  });

  test("given back are told to everybody who listens, after they are free", () => {
    const lanes = new Lanes(1);
    const heard: string[] = [];
    lanes.takeAll();
    lanes.onFree(() => heard.push(`first takes ${lanes.takeAll()}`));
    lanes.onFree(() => heard.push(`second takes ${lanes.takeAll()}`));
    lanes.give(1);
    expect(heard).toEqual(["first takes 1", "second takes 0"]);
  });

  test("are not told to who stopped listening", () => {
    const lanes = new Lanes(2);
    const heard: string[] = [];
    const stop = lanes.onFree(() => heard.push("first"));
    lanes.onFree(() => heard.push("second"));
    stop();
    stop();
    lanes.give(1);
    expect(heard).toEqual(["second"]);
  });

  test("may be stopped listening to while they are told", () => {
    const lanes = new Lanes(2);
    const heard: string[] = [];
    const stop = lanes.onFree(() => {
      heard.push("once");
      stop();
    });
    lanes.onFree(() => heard.push("always"));
    lanes.give(1);
    lanes.give(1);
    expect(heard).toEqual(["once", "always", "always"]);
  });

  test("given back in no number are no news", () => {
    const lanes = new Lanes(2);
    let told = 0;
    lanes.onFree(() => {
      told += 1;
    });
    lanes.give(0);
    expect(told).toBe(0);
    expect(lanes.takeAll()).toBe(2);
  });
});
