import fc from "fast-check";
import { ChatCompletionStream } from "openai/lib/ChatCompletionStream";
import { describe, expect, test } from "vitest";
import { ChatAssembly } from "../../src/core/chat-assembly.ts";

/** The completion that these chunks make. They are copied: an assembly keeps what it is given. */
function assemble(chunks: readonly object[]): Record<string, unknown> {
  const assembly = new ChatAssembly();
  for (const chunk of chunks) assembly.add(structuredClone(chunk));
  return assembly.whole();
}

/** A chunk as OpenAI sends it. */
function chunk(choices: object[], rest: object = {}): object {
  return {
    id: "chatcmpl-1",
    object: "chat.completion.chunk",
    created: 1_750_000_000,
    model: "gpt-4o-mini-2024-07-18",
    service_tier: "default",
    system_fingerprint: "fp_1",
    choices,
    usage: null,
    obfuscation: "AbC",
    ...rest,
  };
}

const part = (delta: object, index = 0, rest: object = {}) => ({
  index,
  delta,
  logprobs: null,
  finish_reason: null,
  ...rest,
});
const end = (reason: string, index = 0) => part({}, index, { finish_reason: reason });
const USAGE = { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 };

/** The one message of the completion that these deltas make. */
function messageOf(...deltas: object[]): unknown {
  const whole = assemble([...deltas.map((delta) => chunk([part(delta)])), chunk([end("stop")])]);
  const [choice] = whole.choices as { message: unknown }[];
  return choice?.message;
}

describe("a text", () => {
  test("comes out as it does unstreamed", () => {
    const chunks = [
      chunk([part({ role: "assistant", content: "", refusal: null })]),
      chunk([part({ content: "Hello" })]),
      chunk([part({ content: ", 世界 🌏" })]),
      chunk([end("stop")]),
      chunk([], { usage: USAGE }),
    ];
    // Compared as text: the order of the members, too.
    expect(JSON.stringify(assemble(chunks))).toBe(
      JSON.stringify({
        id: "chatcmpl-1",
        object: "chat.completion",
        created: 1_750_000_000,
        model: "gpt-4o-mini-2024-07-18",
        choices: [
          {
            index: 0,
            message: { role: "assistant", content: "Hello, 世界 🌏", refusal: null },
            logprobs: null,
            finish_reason: "stop",
          },
        ],
        usage: USAGE,
        service_tier: "default",
        system_fingerprint: "fp_1",
      }),
    );
  });

  test("of several choices goes to each, in order of their index", () => {
    const whole = assemble([
      chunk([part({ role: "assistant", content: "b0" }, 1), part({ content: "a0" })]),
      chunk([part({ content: "b1" }, 1)]),
      chunk([part({ content: "a1" })]),
      chunk([end("length", 1)]),
      chunk([end("stop")]),
    ]);
    expect(whole.choices).toMatchObject([
      { index: 0, message: { content: "a0a1" }, finish_reason: "stop" },
      { index: 1, message: { content: "b0b1" }, finish_reason: "length" },
    ]);
  });

  test("that is empty is an empty text, and one that never came is null", () => {
    expect(messageOf({ role: "assistant", content: "" })).toMatchObject({ content: "" });
    expect(messageOf({ role: "assistant" })).toEqual({
      role: "assistant",
      content: null,
      refusal: null,
    });
  });

  test("in parts, as Mistral has it beside its thinking, is a list of parts", () => {
    const thinking = { type: "thinking", thinking: [{ type: "text", text: "hm" }] };
    expect(messageOf({ content: [thinking] }, { content: "So" }, { content: "" })).toMatchObject({
      content: [thinking, { type: "text", text: "So" }],
    });
  });
});

test("a refusal has no content", () => {
  const deltas = [{ role: "assistant", content: "", refusal: null }, { refusal: "I " }];
  expect(messageOf(...deltas, { refusal: "cannot." })).toEqual({
    role: "assistant",
    content: null,
    refusal: "I cannot.",
  });
});

describe("tool calls", () => {
  const call = (index: number | undefined, rest: object) => ({
    tool_calls: [{ ...(index === undefined ? {} : { index }), ...rest }],
  });

  test("get their arguments by index, and lose the index", () => {
    const opened = { role: "assistant", content: null };
    expect(
      messageOf(
        {
          ...opened,
          ...call(0, { id: "a", type: "function", function: { name: "f", arguments: "" } }),
        },
        call(0, { function: { arguments: '{"x":' } }),
        call(1, { id: "b", type: "function", function: { name: "g", arguments: "" } }),
        call(1, { function: { arguments: "{}" } }),
        call(0, { function: { arguments: "1}" } }),
      ),
    ).toEqual({
      role: "assistant",
      content: null,
      refusal: null,
      tool_calls: [
        { id: "a", type: "function", function: { name: "f", arguments: '{"x":1}' } },
        { id: "b", type: "function", function: { name: "g", arguments: "{}" } },
      ],
    });
  });

  test("repeat their id, type and name without doubling them", () => {
    const same = { id: "a", type: "function" };
    expect(
      messageOf(
        call(0, { ...same, function: { name: "f", arguments: "[" } }),
        call(0, { ...same, function: { name: "f", arguments: "]" } }),
      ),
    ).toMatchObject({ tool_calls: [{ ...same, function: { name: "f", arguments: "[]" } }] });
  });

  test("without an index begin with an id, and go on without one", () => {
    expect(
      messageOf(
        call(undefined, { id: "a", function: { name: "f", arguments: "1" } }),
        call(undefined, { function: { arguments: "2" } }),
        call(undefined, { id: "b", function: { name: "f", arguments: "3" } }),
      ),
    ).toMatchObject({
      tool_calls: [
        { id: "a", type: "function", function: { arguments: "12" } },
        { id: "b", type: "function", function: { arguments: "3" } },
      ],
    });
  });

  test("that all have the index 0 are told apart by id and name", () => {
    const two = [
      { index: 0, id: "a", type: "function", function: { name: "f", arguments: "{}" } },
      { index: 0, id: "b", type: "function", function: { name: "g", arguments: "{}" } },
    ];
    expect(messageOf({ tool_calls: two })).toMatchObject({
      tool_calls: [{ id: "a" }, { id: "b" }],
    });
  });

  test("of a custom tool get their input", () => {
    const opened = { id: "a", type: "custom", custom: { name: "sql", input: "SELECT" } };
    expect(messageOf(call(0, opened), call(0, { custom: { input: " 1" } }))).toMatchObject({
      tool_calls: [{ id: "a", type: "custom", custom: { name: "sql", input: "SELECT 1" } }],
    });
  });

  test("come in order of their index, whatever came first", () => {
    expect(
      messageOf(
        call(1, { id: "b", function: { name: "g", arguments: "" } }),
        call(0, { id: "a", function: { name: "f", arguments: "" } }),
      ),
    ).toMatchObject({ tool_calls: [{ id: "a" }, { id: "b" }] });
  });
});

test("a function call of old gets its arguments", () => {
  const opened = { role: "assistant", content: null, function_call: { name: "f", arguments: "" } };
  expect(messageOf(opened, { function_call: { arguments: "{}" } })).toMatchObject({
    function_call: { name: "f", arguments: "{}" },
  });
});

test("log probabilities are one list", () => {
  const token = (text: string) => ({ token: text, logprob: -0.1, bytes: [97], top_logprobs: [] });
  const whole = assemble([
    chunk([part({ content: "a" }, 0, { logprobs: { content: [token("a")], refusal: null } })]),
    chunk([part({ content: "b" }, 0, { logprobs: { content: [token("b")], refusal: null } })]),
    chunk([end("stop")]),
  ]);
  expect(whole.choices).toMatchObject([
    { logprobs: { content: [token("a"), token("b")], refusal: null } },
  ]);
});

describe("what providers add", () => {
  test("texts of a message go on", () => {
    expect(
      messageOf(
        { role: "assistant", content: null, reasoning_content: "Let " },
        { reasoning_content: "me see." },
        { content: "42", reasoning_content: null },
      ),
    ).toEqual({
      role: "assistant",
      content: "42",
      refusal: null,
      reasoning_content: "Let me see.",
    });
  });

  test("lists with an index grow by it, others by their end", () => {
    const detail = (text: string) => ({
      reasoning_details: [{ type: "reasoning.text", text, format: "v1", index: 0 }],
    });
    const citation = (url: string) => ({
      annotations: [{ type: "url_citation", url_citation: { url } }],
    });
    expect(messageOf(detail("a"), detail("b"), citation("x"), citation("y"))).toMatchObject({
      reasoning_details: [{ type: "reasoning.text", text: "ab", format: "v1", index: 0 }],
      annotations: [{ url_citation: { url: "x" } }, { url_citation: { url: "y" } }],
    });
  });

  test("members of the whole and of a choice are the last that was said", () => {
    const whole = assemble([
      chunk([], { id: "", model: "", created: 0, prompt_filter_results: [{ prompt_index: 0 }] }),
      chunk([part({ content: "a" }, 0, { content_filter_results: { hate: 1 } })]),
      chunk([part({}, 0, { content_filter_results: { violence: 2 }, finish_reason: "stop" })], {
        citations: ["x", "y"],
      }),
    ]);
    expect(whole).toMatchObject({
      id: "chatcmpl-1",
      model: "gpt-4o-mini-2024-07-18",
      created: 1_750_000_000,
      prompt_filter_results: [{ prompt_index: 0 }],
      citations: ["x", "y"],
      choices: [{ content_filter_results: { hate: 1, violence: 2 }, finish_reason: "stop" }],
    });
    expect(whole).not.toHaveProperty("obfuscation");
  });

  test("may have any name", () => {
    const delta = JSON.parse('{"content":"a","__proto__":{"x":"y"}}') as object;
    const message = messageOf(delta) as object;
    expect(JSON.stringify(message)).toContain('"__proto__":{"x":"y"}');
    expect(Object.getPrototypeOf(message)).toBe(Object.prototype);
  });
});

describe("an assembly", () => {
  test("is finished when all choices are, and not before there is one", () => {
    const assembly = new ChatAssembly();
    const seen = [assembly.finished];
    for (const choices of [[part({}), part({}, 1)], [end("stop", 1)], [end("stop")]]) {
      assembly.add(chunk(choices));
      seen.push(assembly.finished);
    }
    expect(seen).toEqual([false, false, false, true]);
  });

  test("is made of anything without throwing", () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), (chunks) => {
        const assembly = new ChatAssembly();
        for (const some of chunks) assembly.add({ choices: [{ delta: some }], x: some });
        for (const some of chunks) assembly.add(some);
        JSON.stringify(assembly.whole());
      }),
    );
  });
});

/** A completion, and a way to cut it into a stream. */
const completion = fc.record({
  choices: fc.array(
    fc.record({
      content: fc.array(fc.string({ unit: "binary", minLength: 1 }), { minLength: 1 }),
      calls: fc.array(fc.array(fc.string(), { minLength: 1, maxLength: 4 }), { maxLength: 3 }),
      logprobs: fc.boolean(),
      reason: fc.constantFrom("stop", "length", "tool_calls"),
    }),
    { minLength: 1, maxLength: 3 },
  ),
  seed: fc.nat(),
});

/** The chunks of a completion: each choice's in order, the choices between each other as they fall. */
function chunksOf({ choices, seed }: typeof completion extends fc.Arbitrary<infer C> ? C : never) {
  const lines = choices.map(({ content, calls, logprobs, reason }, index) => {
    const told = (text: string) =>
      logprobs
        ? { content: [{ token: text, logprob: -1, bytes: null, top_logprobs: [] }], refusal: null }
        : null;
    return [
      part({ role: "assistant", content: "", refusal: null }, index),
      ...content.map((text) => part({ content: text }, index, { logprobs: told(text) })),
      ...calls.flatMap((pieces, call) => [
        part(
          {
            tool_calls: [
              {
                index: call,
                id: `call_${index}_${call}`,
                type: "function",
                function: { name: "f", arguments: "" },
              },
            ],
          },
          index,
        ),
        ...pieces.map((piece) =>
          part({ tool_calls: [{ index: call, function: { arguments: piece } }] }, index),
        ),
      ]),
      part({}, index, { finish_reason: reason }),
    ];
  });
  const chunks: object[] = [];
  let turn = seed;
  while (lines.some((line) => line.length > 0)) {
    turn = (turn * 48_271 + 11) % 2_147_483_647;
    const next = lines[turn % lines.length]?.shift();
    if (next !== undefined) chunks.push(chunk([next]));
  }
  return [...chunks, chunk([], { usage: USAGE })];
}

test("any completion is what the official client makes of its stream", async () => {
  await fc.assert(
    fc.asyncProperty(completion, async (some) => {
      const chunks = chunksOf(some);
      const lines = new Blob(chunks.map((one) => `${JSON.stringify(one)}\n`)).stream();
      const client = ChatCompletionStream.fromReadableStream(lines);
      const theirs = (await client.finalChatCompletion()) as unknown as Record<string, unknown>;
      const bare = JSON.parse(
        JSON.stringify(theirs, (key, value) => (key.startsWith("parsed") ? undefined : value)),
      );
      expect(assemble(chunks)).toEqual(bare);
    }),
    { numRuns: 100 },
  );
}, 60_000);
