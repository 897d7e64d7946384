import { exports } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import { DEFAULT_KEY, errorOf, OTHER_KEY } from "../support/worker/client.ts";

const ID = "0190b0c0000070008000000000000000";

/** A request with exactly these headers. */
function bare(path: string, headers: Record<string, string>, method = "GET"): Promise<Response> {
  return exports.default.fetch(new Request(`http://muster.test${path}`, { method, headers }));
}

describe("a request without a known key", () => {
  const routes: [method: string, path: string][] = [
    ["POST", "/v1/batches"],
    ["GET", "/v1/batches"],
    ["GET", `/v1/batches/batch_${ID}`],
    ["POST", `/v1/batches/batch_${ID}/cancel`],
    ["GET", `/v1/batches/batch_${ID}/results`],
    ["POST", "/v1/files"],
    ["GET", "/v1/files"],
    ["GET", `/v1/files/file-${ID}`],
    ["GET", `/v1/files/file-${ID}/content`],
    ["DELETE", `/v1/files/file-${ID}`],
    ["GET", "/v1/nothing"],
  ];

  it.each(routes)("is 401 in OpenAI's shape on %s %s", async (method, path) => {
    const response = await bare(path, {}, method);
    expect(response.status).toBe(401);
    expect(await response.json()).toEqual({
      error: {
        message: expect.stringContaining("Authorization: Bearer"),
        type: "invalid_request_error",
        param: null,
        code: "invalid_api_key",
      },
    });
  });

  it.each([
    ["an unknown key", "Bearer sk-test-defaulu"],
    ["the beginning of a key", `Bearer ${DEFAULT_KEY.slice(0, -1)}`],
    ["a key with more behind it", `Bearer ${DEFAULT_KEY}x`],
    ["two keys", `Bearer ${DEFAULT_KEY} ${OTHER_KEY}`],
    ["a project for a key", "Bearer default"],
    ["a pair of the setting", `Bearer default:${DEFAULT_KEY}`],
    ["Basic", `Basic ${btoa(`default:${DEFAULT_KEY}`)}`],
    ["a key alone", DEFAULT_KEY],
    ["no key after Bearer", "Bearer "],
    ["nothing", ""],
  ])("is 401 with %s", async (_, authorization) => {
    const response = await bare("/v1/batches", { authorization });
    expect(response.status).toBe(401);
    expect((await errorOf(response)).code).toBe("invalid_api_key");
  });

  it("is 401 with the key in the query or in another header", async () => {
    expect((await bare(`/v1/batches?api_key=${DEFAULT_KEY}`, {})).status).toBe(401);
    expect((await bare("/v1/batches", { "x-api-key": DEFAULT_KEY })).status).toBe(401);
  });

  it("never repeats the key it was sent", async () => {
    const response = await bare("/v1/batches", { authorization: "Bearer sk-somebody-elses" });
    expect(await response.text()).not.toContain("somebody");
  });
});

describe("the key that every Muster on one machine has", () => {
  const said = async (origin: string, key = "sk-muster-local") => {
    const headers = { authorization: `Bearer ${key}` };
    const response = await exports.default.fetch(new Request(`${origin}/v1/batches`, { headers }));
    expect(response.status).toBe(401);
    return (await errorOf(response)).message;
  };

  it.each([
    "http://evil.test:8787",
    "http://127.0.0.1.evil.test",
    "http://localhost.evil.test",
    "http://notlocalhost:8787",
    "http://192.168.0.7:8787",
  ])("opens nothing under another name: %s", async (origin) => {
    expect(await said(origin)).toContain("127.0.0.1 and localhost alone");
    expect(await said(origin, "sk-muster-locam")).toContain("not known");
  });

  it.each(["http://127.0.0.1:8787", "http://localhost", "http://[::1]:1", "http://a.localhost"])(
    "is a key like any other on the machine itself: %s",
    async (origin) => expect(await said(origin)).toContain("not known"),
  );
});

describe("a known key", () => {
  it.each(["Bearer", "bearer", "BEARER"])("opens its project after %s", async (scheme) => {
    const authorization = `${scheme} ${DEFAULT_KEY}`;
    expect((await bare("/v1/batches", { authorization })).status).toBe(200);
  });
});
