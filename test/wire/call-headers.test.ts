import { describe, expect, test } from "vitest";
import { callHeadersOf, readCallHeaders } from "../../src/wire/call-headers.ts";

const read = (headers: Record<string, string>, endpoint = "/v1/messages") =>
  callHeadersOf(new Headers(headers), endpoint);

describe("headers that calls carry", () => {
  test("are those that say how a message is meant, and no others", () => {
    const meant = {
      "anthropic-version": "2026-10-21",
      "anthropic-beta": "files-api-2025-04-14,context-1m-2025-08-07",
      "anthropic-user-profile-id": "uprof_1",
      "anthropic-workspace-id": "wrkspc_1",
    };
    const found = read({
      ...meant,
      "x-api-key": "sk-muster",
      authorization: "Bearer sk",
      host: "h",
    });
    expect(found).toEqual({ ok: true, value: meant });
    expect(readCallHeaders(JSON.stringify(meant))).toEqual(meant);
  });

  test("are none without them, and at any other endpoint", () => {
    expect(read({ "anthropic-beta": "" })).toEqual({ ok: true, value: null });
    expect(read({ "anthropic-version": "2023-06-01" }, "/v1/responses")).toEqual({
      ok: true,
      value: null,
    });
  });

  test.each([
    ["anthropic-version", "latest"],
    ["anthropic-version", "2023-06-01, 2023-06-01"],
    ["anthropic-beta", "x".repeat(2_001)],
    ["anthropic-beta", "caf\u00e9"],
  ])("%s: %s is refused by its name", (name, value) => {
    expect(read({ [name]: value })).toMatchObject({
      ok: false,
      problem: { code: "invalid_request", param: name, message: expect.stringContaining(name) },
    });
  });
});
