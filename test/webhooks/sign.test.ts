import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { isSecret, newSecret, signedHeaders } from "../../src/webhooks/sign.ts";
import { type Signed, tampered, verifiers } from "../support/verifiers.ts";

const NOW_MS = Date.UTC(2026, 10, 22, 12, 0, 0) + 789;
const BODY = '{"id":"evt_1","object":"event","type":"batch.completed","data":{"id":"batch_é漢"}}';
const OLD_SECRET = newSecret(new Uint8Array(32).fill(1));
const SECRET = newSecret(new Uint8Array(32).fill(2));

beforeEach(() => vi.useFakeTimers({ toFake: ["Date"], now: NOW_MS }));
afterEach(() => vi.useRealTimers());

function sign(timestampMs = NOW_MS, secrets = [SECRET]): Signed {
  return { body: BODY, headers: signedHeaders({ id: "evt_1", timestampMs, body: BODY, secrets }) };
}

describe.each(Object.entries(verifiers))("%s", (_name, verify) => {
  test("accepts what was signed", async () => {
    await expect(verify(sign(), SECRET)).resolves.toEqual(JSON.parse(BODY));
  });

  test("accepts either secret of a rotation", async () => {
    const signed = sign(NOW_MS, [OLD_SECRET, SECRET]);
    await expect(verify(signed, OLD_SECRET)).resolves.toEqual(JSON.parse(BODY));
    await expect(verify(signed, SECRET)).resolves.toEqual(JSON.parse(BODY));
  });

  test.each(Object.entries(tampered))("rejects %s", async (_what, tamper) => {
    await expect(verify(tamper(sign()), SECRET)).rejects.toThrow();
    await expect(verify(tamper(sign(NOW_MS, [SECRET, OLD_SECRET])), SECRET)).rejects.toThrow();
  });

  test("rejects what another secret signed", async () => {
    await expect(verify(sign(), OLD_SECRET)).rejects.toThrow();
  });

  test("accepts 300 s off and rejects 301 s off, both ways", async () => {
    for (const sideMs of [1000, -1000]) {
      await expect(verify(sign(NOW_MS + 300 * sideMs), SECRET)).resolves.toBeDefined();
      await expect(verify(sign(NOW_MS + 301 * sideMs), SECRET)).rejects.toThrow();
    }
  });

  test("accepts any text signed with any key of 24 to 64 bytes", async () => {
    const keys = fc.uint8Array({ minLength: 24, maxLength: 64 });
    await fc.assert(
      fc.asyncProperty(fc.json(), keys, async (body, key) => {
        const secret = newSecret(key);
        expect(isSecret(secret)).toBe(true);
        const headers = signedHeaders({ id: "e", timestampMs: NOW_MS, body, secrets: [secret] });
        await expect(verify({ body, headers }, secret)).resolves.toEqual(JSON.parse(body));
      }),
      { numRuns: 50 },
    );
  });
});

describe("signedHeaders", () => {
  test("has whole seconds and one signature for each secret", () => {
    const { headers } = sign(NOW_MS, [OLD_SECRET, SECRET]);
    expect(headers).toEqual({
      "content-type": "application/json",
      "webhook-id": "evt_1",
      "webhook-timestamp": String(Math.floor(NOW_MS / 1000)),
      "webhook-signature": expect.stringMatching(/^v1,[\w+/]{43}= v1,[\w+/]{43}=$/),
    });
  });

  test("matches the example of the Standard Webhooks libraries", () => {
    const headers = signedHeaders({
      id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
      timestampMs: 1_614_265_330_000,
      body: '{"test": 2432232314}',
      secrets: ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    });
    expect(headers["webhook-signature"]).toBe("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
  });

  test("refuses an id with a dot and an empty list of secrets", () => {
    const signing = { id: "e", timestampMs: NOW_MS, body: "{}", secrets: [SECRET] };
    expect(() => signedHeaders({ ...signing, id: "a.b" })).toThrow(RangeError);
    expect(() => signedHeaders({ ...signing, secrets: [] })).toThrow(RangeError);
  });
});

describe("secrets", () => {
  test("are whsec_ and base64", () => {
    expect(newSecret(new Uint8Array(32))).toBe(`whsec_${"A".repeat(43)}=`);
  });

  test("of fewer than 24 or more than 64 bytes are refused", () => {
    for (const length of [0, 23, 65, 100_000]) {
      expect(() => newSecret(new Uint8Array(length))).toThrow(RangeError);
      expect(isSecret(`whsec_${Buffer.alloc(length).toString("base64")}`)).toBe(false);
    }
  });

  test("that are no padded standard base64 are not secrets", () => {
    const good = Buffer.alloc(32, 0xfb).toString("base64");
    expect(isSecret(`whsec_${good}`)).toBe(true);
    for (const bad of [
      good,
      `WHSEC_${good}`,
      `whsec_${good.slice(0, -1)}`,
      `whsec_ ${good}`,
      `whsec_${good}\n`,
      `whsec_${good.replaceAll("+", "-")}`,
      `whsec_${good.slice(0, -2)}/=`,
      "whsec_",
      "",
    ]) {
      expect(isSecret(bad)).toBe(false);
    }
  });
});
