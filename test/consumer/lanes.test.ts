import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Lanes, type Seeker } from "../../src/consumer/lanes.ts";

/** Who waits for lanes, and writes down in `heard` what it gets. */
function seeker(name: string, heard: string[], then?: (count: number) => void): Seeker {
  return {
    weight: 1,
    grant: (count) => {
      heard.push(`${name} gets ${count}`);
      then?.(count);
    },
  };
}

/** As many lanes, all taken. */
function taken(count: number): Lanes {
  const lanes = new Lanes(count);
  lanes.take();
  return lanes;
}

describe("lanes", () => {
  test("are taken all at once, and then there are none", () => {
    const lanes = new Lanes(6);
    expect(lanes.take()).toBe(6);
    expect(lanes.take()).toBe(0);
  });

  test("that were given back are taken again", () => {
    const lanes = taken(6);
    lanes.give(2);
    lanes.give(1);
    expect(lanes.take()).toBe(3);
    expect(lanes.take()).toBe(0);
  });

  test("that are free are granted to who begins to wait, at once", () => {
    const lanes = new Lanes(4);
    const heard: string[] = [];
    lanes.wait(seeker("a", heard));
    expect(heard).toEqual(["a gets 4"]);
    expect(lanes.take()).toBe(0);
  });

  test("that come free go to the first in line, and those that come together to all", () => {
    const lanes = taken(6);
    const heard: string[] = [];
    for (const name of ["a", "b", "c"]) lanes.wait(seeker(name, heard));
    expect(heard).toEqual([]);
    lanes.give(1);
    lanes.give(2);
    lanes.give(3);
    expect(heard).toEqual(["a gets 1", "b gets 1", "c gets 1"]);
    expect(lanes.take()).toBe(3);
  });

  test("that come free together are shared by all in line", () => {
    const lanes = taken(6);
    const heard: string[] = [];
    lanes.wait(seeker("a", heard));
    lanes.wait(seeker("b", heard));
    lanes.give(6);
    expect(heard).toEqual(["a gets 3", "b gets 3"]);
  });

  test("are given for no more calls than are wanted, but for one", () => {
    const lanes = new Lanes(6);
    expect(lanes.take(1, 2)).toBe(2);
    expect(lanes.take(1, 0)).toBe(1);
    const heard: string[] = [];
    lanes.wait({ ...seeker("a", heard), wants: 2 });
    expect(heard).toEqual(["a gets 2"]);
    expect(lanes.take()).toBe(1);
  });

  test("go to who was called before those who wait", () => {
    const lanes = taken(3);
    const heard: string[] = [];
    for (const name of ["a", "b"]) lanes.wait(seeker(name, heard));
    lanes.waitFirst(seeker("called", heard));
    lanes.give(1);
    expect(heard).toEqual(["called gets 1"]);
  });

  test("are granted once for each time of waiting", () => {
    const lanes = taken(3);
    const heard: string[] = [];
    lanes.wait(seeker("a", heard));
    lanes.give(1);
    lanes.give(1);
    expect(heard).toEqual(["a gets 1"]);
    expect(lanes.take()).toBe(1);
  });

  test("are not taken past those who wait in line", () => {
    const lanes = taken(2);
    const heard: string[] = [];
    // Whoever hears of lanes tries to take some for itself.
    const greedy: string[] = [];
    lanes.wait(seeker("a", heard, () => greedy.push(`takes ${lanes.take()}`)));
    lanes.wait(seeker("b", heard));
    expect(lanes.take()).toBe(0);
    lanes.give(1);
    expect(greedy).toEqual(["takes 0"]);
    lanes.give(1);
    expect(heard).toEqual(["a gets 1", "b gets 1"]);
  });

  test("are waited for in the place that one has, however often one says so", () => {
    const lanes = taken(3);
    const heard: string[] = [];
    const a = seeker("a", heard);
    lanes.wait(a);
    lanes.wait(seeker("b", heard));
    lanes.wait(a);
    lanes.give(1);
    lanes.give(1);
    lanes.give(1);
    expect(heard).toEqual(["a gets 1", "b gets 1"]);
  });

  test("are waited for at the end of the line by who got some", () => {
    const lanes = taken(3);
    const heard: string[] = [];
    const a: Seeker = seeker("a", heard, () => lanes.wait(a));
    lanes.wait(a);
    lanes.wait(seeker("b", heard));
    lanes.give(1);
    lanes.give(1);
    lanes.give(1);
    expect(heard).toEqual(["a gets 1", "b gets 1", "a gets 1"]);
  });

  test("are not granted to who left the line; those behind it move up", () => {
    const lanes = taken(2);
    const heard: string[] = [];
    const a = seeker("a", heard);
    lanes.wait(a);
    lanes.wait(seeker("b", heard));
    lanes.leave(a);
    lanes.leave(a);
    lanes.give(1);
    expect(heard).toEqual(["b gets 1"]);
  });

  test("are taken again once the last in line has left", () => {
    const lanes = taken(2);
    const a = seeker("a", []);
    lanes.wait(a);
    lanes.leave(a);
    lanes.give(2);
    expect(lanes.take()).toBe(2);
  });

  test("that one gives back as it gets them go to the next in line", () => {
    const lanes = taken(2);
    const heard: string[] = [];
    lanes.wait(seeker("a", heard, (count) => lanes.give(count)));
    lanes.wait(seeker("b", heard, (count) => lanes.give(count)));
    lanes.give(2);
    expect(heard).toEqual(["a gets 1", "b gets 2"]);
    expect(lanes.take()).toBe(2);
  });

  test("given back in no number are granted to nobody", () => {
    const lanes = taken(2);
    const heard: string[] = [];
    lanes.wait(seeker("a", heard));
    lanes.give(0);
    expect(heard).toEqual([]);
    lanes.give(1);
    expect(heard).toEqual(["a gets 1"]);
  });

  test("are taken and granted for whole calls of a weight", () => {
    const lanes = new Lanes(13);
    expect(lanes.take(5)).toBe(10);
    const heard: string[] = [];
    lanes.wait({ ...seeker("heavy", heard), weight: 5 });
    lanes.wait(seeker("light", heard));
    lanes.give(1);
    expect(heard).toEqual([]);
    lanes.give(2);
    expect(heard).toEqual(["heavy gets 5", "light gets 1"]);
  });

  test("that are too few for who leaves the line go to the next one", () => {
    const lanes = new Lanes(3);
    const heard: string[] = [];
    const heavy = { ...seeker("heavy", heard), weight: 5 };
    lanes.wait(heavy);
    lanes.wait(seeker("light", heard));
    expect(heard).toEqual([]);
    lanes.leave(heavy);
    expect(heard).toEqual(["light gets 3"]);
  });

  test("that were overdrawn are given to nobody until they are back", () => {
    const lanes = taken(6);
    lanes.give(-4);
    lanes.give(3);
    expect(lanes.take()).toBe(0);
    lanes.give(2);
    expect(lanes.take()).toBe(1);
  });

  test("are never more than there were, none is lost, and the line is served in its order", () => {
    const event = fc.record({
      who: fc.nat({ max: 4 }),
      what: fc.constantFrom("take" as const, "wait" as const, "leave" as const, "give" as const),
      count: fc.integer({ min: 0, max: 5 }),
    });
    fc.assert(
      fc.property(fc.nat({ max: 20 }), fc.array(event, { maxLength: 60 }), (count, events) => {
        const lanes = new Lanes(count);
        const held = [0, 0, 0, 0, 0];
        let line: number[] = [];
        const seekers = held.map((_, who) => ({
          weight: who === 4 ? 3 : 1,
          grant: (granted: number) => {
            expect(granted).toBeGreaterThan(0);
            // Whole calls only.
            if (who === 4) expect(granted % 3).toBe(0);
            expect(line[0]).toBe(who);
            line = line.slice(1);
            held[who] = (held[who] ?? 0) + granted;
          },
        }));
        for (const { who, what, count: most } of events) {
          const seeking = seekers[who] ?? { weight: 1, grant: () => {} };
          const mine = held[who] ?? 0;
          if (what === "take") {
            const got = lanes.take();
            if (line.length > 0) expect(got).toBe(0);
            held[who] = mine + got;
          } else if (what === "wait") {
            if (!line.includes(who)) line.push(who);
            lanes.wait(seeking);
          } else if (what === "leave") {
            line = line.filter((other) => other !== who);
            lanes.leave(seeking);
          } else {
            const given = Math.min(most, mine);
            held[who] = mine - given;
            lanes.give(given);
          }
          expect(held.reduce((sum, lane) => sum + lane, 0)).toBeLessThanOrEqual(count);
        }
        line = [];
        for (const seeking of seekers) lanes.leave(seeking);
        expect(held.reduce((sum, lane) => sum + lane, 0) + lanes.take()).toBe(count);
      }),
    );
  });
});
