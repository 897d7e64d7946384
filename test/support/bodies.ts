import fc from "fast-check";
import { byteLength } from "../../src/wire/request.ts";

/** Bodies that `JSON.parse` and `JSON.stringify` would change. */
export const DELICATE = [
  '{"seed":12345678901234567890,"temperature":1.0,"top_p":1E-1,"x":-0}',
  '{"model":"m","b":1,"a":2,"10":3,"9":4}',
  '{"a":1,"a":2,"\\u0061":3}',
  '{"s":"\\u0041\\/\\ud83d\\ude00 \u2028 é 日本 \\ud800"}',
  '{ "a" : [ 1 ,\t2 ] }',
  '{"__proto__":{"a":1},"constructor":null,"toString":"x"}',
  '{"body":{"body":"}"},"custom_id":"inner"}',
  "{}",
];

/** Strings that a careless cutter of JSON would trip over. */
export const hostile = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.constantFrom(
    '"',
    "\\",
    '\\"',
    '"}],"x":[{"',
    '","stream":true,"x":"',
    "\n",
    "\r\n",
    "\u2028",
    "\0",
    "\ud800",
    "$&",
    "👩‍👩‍👧",
    "日本語",
    "Ω".repeat(100),
  ),
);

/** A body of exactly so many bytes. */
export function bodyOfBytes(bytes: number, filler = "x"): string {
  const room = bytes - byteLength('{"p":""}');
  const count = Math.floor(room / byteLength(filler));
  return `{"p":"${filler.repeat(count)}${"x".repeat(room - count * byteLength(filler))}"}`;
}

/**
 * The same as members' names, but for a lone backslash: V8 14 (Node 24) reads an escape at the start
 * of a name as that name, once it has read an object with it (`{"x":1,"\\\\":2}`, then
 * `{"x":1,"\\"":2}`), so `JSON.parse` is no measure there.
 */
export const hostileName = hostile.filter((text) => text !== "\\");
