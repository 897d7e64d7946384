import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Held, Memory } from "../../src/consumer/memory.ts";

const memoryOf = (answerBytes: number) => new Memory({ answerBytes, bodyChars: 10 });
/** Everything that is ready to happen has happened. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Adds to what an answer holds, and writes its name down when it may read on. */
function add(held: Held, bytes: number, name: string, heard: string[]): void {
  const wait = held.add(bytes);
  if (wait === undefined) heard.push(name);
  else void wait.then(() => heard.push(name));
}

describe("answers", () => {
  test("are read on at once while there is room", () => {
    const memory = memoryOf(100);
    expect(memory.open().add(60)).toBeUndefined();
    expect(memory.open().add(40)).toBeUndefined();
  });

  test("wait when there is none, and go on in the order they asked as others leave", async () => {
    const memory = memoryOf(100);
    const heard: string[] = [];
    const [a, b, c, d] = [memory.open(), memory.open(), memory.open(), memory.open()];
    add(a, 100, "a", heard);
    add(b, 50, "b", heard);
    add(c, 50, "c", heard);
    add(d, 50, "d", heard);
    await settled();
    // The first without room goes on all the same: somebody must come to an end.
    expect(heard).toEqual(["a", "b"]);
    a.close();
    await settled();
    expect(heard).toEqual(["a", "b"]);
    b.close();
    await settled();
    expect(heard).toEqual(["a", "b", "c", "d"]);
  });

  test("let the favoured one go on however much it holds", () => {
    const memory = memoryOf(10);
    const held = memory.open();
    for (let part = 0; part < 20; part += 1) expect(held.add(10)).toBeUndefined();
  });

  test("that are closed twice give their room back once", async () => {
    const memory = memoryOf(10);
    const heard: string[] = [];
    const [a, b, c] = [memory.open(), memory.open(), memory.open()];
    add(a, 10, "a", heard);
    a.close();
    a.close();
    add(b, 10, "b", heard);
    add(c, 1, "c", heard);
    const d = memory.open();
    add(d, 1, "d", heard);
    await settled();
    expect(heard).toEqual(["a", "b", "c"]);
  });

  test("never exceed the room by more than one answer and the parts at hand, and all end", async () => {
    const answers = fc.array(
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 12 }),
      {
        minLength: 1,
        maxLength: 20,
      },
    );
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 60 }), answers, async (room, sizes) => {
        const memory = memoryOf(room);
        let holding = 0;
        let most = 0;
        await Promise.all(
          sizes.map(async (parts) => {
            const held = memory.open();
            let mine = 0;
            for (const bytes of parts) {
              const wait = held.add(bytes);
              holding += bytes;
              mine += bytes;
              most = Math.max(most, holding);
              await wait;
              await settled();
            }
            holding -= mine;
            held.close();
          }),
        );
        const longest = Math.max(...sizes.map((parts) => parts.reduce((sum, one) => sum + one, 0)));
        expect(most).toBeLessThanOrEqual(room + longest + 9 * sizes.length);
      }),
      { numRuns: 50 },
    );
  });
});

test("bodies have room until they are too many", () => {
  const memory = memoryOf(1);
  memory.addBody(9);
  expect(memory.hasRoom).toBe(true);
  memory.addBody(9);
  expect(memory.hasRoom).toBe(false);
  memory.addBody(-9);
  expect(memory.hasRoom).toBe(true);
});
