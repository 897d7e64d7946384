import fc from "fast-check";
import { expect, test } from "vitest";
import { apiKeyFor, hintOf, KEY_BYTES, projectInKey, redactedKey } from "../../src/core/api-key.ts";

const project = fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,63}$/);
const random = fc.uint8Array({ minLength: KEY_BYTES, maxLength: KEY_BYTES });

test("a key tells its project, whatever the project and the chance", () => {
  fc.assert(
    fc.property(project, random, (name, bytes) => {
      expect(projectInKey(apiKeyFor(name, bytes))).toBe(name);
    }),
  );
});

test("a key holds 256 bits, and can stand in a header", () => {
  const key = apiKeyFor("p", new Uint8Array(KEY_BYTES).fill(255));
  expect(Buffer.from(key.slice("sk-muster-p-".length), "base64url")).toHaveLength(32);
  expect(key).toMatch(/^[A-Za-z0-9_-]+$/);
});

test.each([
  ["a local key", "sk-muster-local"],
  ["another's", `sk-proj-${"a".repeat(43)}`],
  ["no project", `sk-muster-${"a".repeat(43)}`],
  ["a short secret", `sk-muster-p-${"a".repeat(42)}`],
  ["a project that is none", `sk-muster-P-${"a".repeat(43)}`],
  ["a path", `sk-muster-p/q-${"a".repeat(43)}`],
  ["nothing", ""],
])("%s names no project", (_, key) => {
  expect(projectInKey(key)).toBeUndefined();
});

test("what is shown of a key is four characters of its secret", () => {
  const key = apiKeyFor("p", new Uint8Array(KEY_BYTES).fill(7));
  expect(redactedKey("p", hintOf(key))).toBe(`sk-muster-p-…${key.slice(-4)}`);
});
