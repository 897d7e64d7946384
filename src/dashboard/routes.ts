import type { OpenAPIHono } from "@hono/zod-openapi";
import type { AppEnv } from "../api/auth.ts";
import { hash, script, style } from "./built/page.ts";

/** Nothing but the page's own files, no inline script, nothing loaded from elsewhere. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const HEADERS = {
  "content-security-policy": POLICY,
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
};

/** A file is named by its content, so it never changes. */
const FOREVER = "public, max-age=31536000, immutable";

const HTML = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Muster</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/page.${hash}.css">
<script type="module" src="/page.${hash}.js"></script>
</head>
<body><noscript>This page needs JavaScript.</noscript><div id="page"></div></body>
</html>
`;

/** GET /: the dashboard. It holds nothing; all it shows comes from the API, with the user's key. */
export function addDashboard(app: OpenAPIHono<AppEnv>): void {
  const file = (text: string, type: string, cache: string) =>
    new Response(text, { headers: { ...HEADERS, "content-type": type, "cache-control": cache } });
  app.get("/", () => file(HTML, "text/html; charset=utf-8", "no-store"));
  app.get(`/page.${hash}.js`, () => file(script, "text/javascript; charset=utf-8", FOREVER));
  app.get(`/page.${hash}.css`, () => file(style, "text/css; charset=utf-8", FOREVER));
}
