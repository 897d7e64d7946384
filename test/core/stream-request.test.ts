import { describe, expect, test } from "vitest";
import { isStreamable, streamedBody } from "../../src/core/stream-request.ts";
import { ENDPOINTS } from "../../src/wire/batch.ts";

const chat = (body: string) => streamedBody("/v1/chat/completions", body);

describe("a chat call", () => {
  test("asks for a stream with usage, and says the rest byte for byte", () => {
    const rest = '"model":"m", "seed": 12345678901234567890,\t"temperature":1.0,"messages":[]';
    expect(chat(`{${rest}}`)).toBe(
      `{"stream":true,"stream_options":{"include_usage":true},${rest}}`,
    );
  });

  test("that said no is made to ask in the same place", () => {
    expect(chat('{"a":1,"stream": false,"b":2}')).toBe(
      '{"stream_options":{"include_usage":true},"a":1,"stream": true,"b":2}',
    );
  });

  test("keeps its own options of the stream", () => {
    expect(chat('{"stream_options":{"include_obfuscation":false}}')).toBe(
      '{"stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false}}',
    );
    expect(chat('{"stream_options":{"include_usage":false}}')).toBe(
      '{"stream":true,"stream_options":{"include_usage":true}}',
    );
    expect(chat('{"stream_options":null}')).toBe(
      '{"stream":true,"stream_options":{"include_usage":true}}',
    );
  });

  test("that wants audio is not streamed: it would come in another format", () => {
    expect(chat('{"modalities":["text","audio"]}')).toBeUndefined();
    expect(chat('{"modalities":["text"],"x":"audio"}')).toBeDefined();
  });
});

describe("a response", () => {
  test("asks for a stream, and for no usage, which it has anyway", () => {
    expect(streamedBody("/v1/responses", '{"input":"a"}')).toBe('{"stream":true,"input":"a"}');
  });

  test("in the background is not streamed: it is answered before it is done", () => {
    expect(streamedBody("/v1/responses", '{"background":true}')).toBeUndefined();
    expect(streamedBody("/v1/responses", '{"background":false}')).toBeDefined();
  });
});

test("a message asks for a stream, and for nothing else", () => {
  expect(streamedBody("/v1/messages", '{"model":"m","stream":false}')).toBe(
    '{"model":"m","stream":true}',
  );
});

test("only chat completions, responses and messages are streamed", () => {
  expect(ENDPOINTS.filter(isStreamable)).toEqual([
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/messages",
  ]);
  expect(streamedBody("/v1/embeddings", "{}")).toBeUndefined();
});
