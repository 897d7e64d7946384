import { exports } from "cloudflare:workers";
import { describe, expect, it } from "vitest";

function get(path: string): Promise<Response> {
  return exports.default.fetch(new Request(`http://muster.test${path}`));
}

const html = await (await get("/")).text();
const files = [...html.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, path = ""]) => path);

describe("the page", () => {
  it("may run its own script, and nothing that stands in it", async () => {
    const policy = (await get("/")).headers.get("content-security-policy") ?? "";
    const rules = new Map(policy.split("; ").map((rule) => [rule.split(" ")[0], rule]));
    expect(Object.fromEntries(rules)).toEqual({
      "default-src": "default-src 'none'",
      "script-src": "script-src 'self'",
      "style-src": "style-src 'self'",
      "connect-src": "connect-src 'self'",
      "img-src": "img-src 'self' data:",
      "base-uri": "base-uri 'none'",
      "form-action": "form-action 'none'",
      "frame-ancestors": "frame-ancestors 'none'",
    });
    expect(html).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=|javascript:/i);
  });

  it("loads nothing from elsewhere", () => {
    expect(files).toHaveLength(2);
    expect(html).not.toMatch(/(src|href)="(https?:)?\/\//);
  });

  it("is kept by no browser, framed by nobody, and tells nobody where it was", async () => {
    const { headers } = await get("/");
    expect(Object.fromEntries(headers)).toMatchObject({
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "x-frame-options": "DENY",
      "referrer-policy": "no-referrer",
    });
    expect(headers.has("set-cookie")).toBe(false);
  });

  it.each(files)("has %s, whose name changes with its content", async (path) => {
    const { status, headers } = await get(path);
    expect(status).toBe(200);
    expect(Object.fromEntries(headers)).toMatchObject({
      "cache-control": "public, max-age=31536000, immutable",
      "content-type": expect.stringMatching(/^text\/(javascript|css); charset=utf-8$/),
      "x-content-type-options": "nosniff",
    });
  });
});
