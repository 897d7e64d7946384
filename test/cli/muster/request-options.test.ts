import { expect, test } from "vitest";
import { requestOptions } from "../../../src/cli/muster/request-options.ts";

test.each([
  ["seed=9007199254740993", "seed", "9007199254740993"],
  ["t=1.0", "t", "1.0"],
  ['stop=[ "a",\n 1.0]', "stop", '[ "a", 1.0]'],
  ["user=Ann = 1", "user", '"Ann = 1"'],
  ["user=", "user", '""'],
  ['user="7"', "user", '"7"'],
])(
  "--param %s stays as it was typed where it is JSON, and is text where it is not",
  (pair, name, text) => {
    expect(requestOptions({ param: [pair] }).members).toEqual(new Map([[name, text]]));
  },
);

test("numbers stay as they were typed where JSON has them so", () => {
  const { members } = requestOptions({ maxTokens: "0x10", temperature: "1.0" });
  expect(members).toEqual(
    new Map([
      ["max_tokens", "16"],
      ["temperature", "1.0"],
    ]),
  );
});

test.each([
  [{ param: ["x"] }, "--param takes name=value, not x."],
  [{ maxTokens: "many" }, "--max-tokens takes a number, not many."],
])("says what an option takes: %j", (options, message) => {
  expect(() => requestOptions(options)).toThrow(message);
});
