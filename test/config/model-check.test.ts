import { describe, expect, test } from "vitest";
import { MODELS_APART, modelCheck } from "../../src/config/model-check.ts";
import { upstreamAt } from "../support/upstream.ts";

const upstream = (name: string, models: string[]) =>
  upstreamAt(`http://${name}.test/v1`, undefined, { name, models });
const check = (...upstreams: ReturnType<typeof upstream>[]) =>
  modelCheck({ upstreams, prices: [] }, "/v1/chat/completions", false, { model: "gpt-a" });

describe("the models of one batch", () => {
  test("may differ where all their ways are the same", () => {
    const of = check(upstream("one", ["gpt-*"]), upstream("two", ["*"]));
    expect(of("gpt-b")).toBeUndefined();
  });

  test("are apart where one of them has a way that another has not", () => {
    const of = check(upstream("one", ["*"]), upstream("two", ["gpt-a"]));
    expect(of("gpt-b")).toMatchObject({
      code: MODELS_APART,
      why: expect.stringContaining("'gpt-b' has other limits than 'gpt-a'"),
    });
  });

  test("are apart where they count against other quotas on a later way", () => {
    const limits = { maxConcurrency: 5 };
    const second = upstreamAt("http://two.test/v1", limits, {
      name: "two",
      quotas: [
        { name: "two:a", models: ["gpt-a"], limits },
        { name: "two", models: ["*"], limits },
      ],
    });
    const of = check(upstream("one", ["*"]), second);
    expect(of("gpt-b")).toMatchObject({ code: MODELS_APART });
  });
});
