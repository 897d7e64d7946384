import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { beforeAll, describe, expect, test } from "vitest";
import packageJson from "../../package.json" with { type: "json" };
import { projectDir } from "../../src/cli/workspace.ts";
import { PATIENT, temporaryDir } from "./support.ts";

/** Packages that our dependencies bring along, by who brings them. */
const BROUGHT_ALONG = [
  "@asteasolutions/zod-to-openapi", // @hono/zod-openapi
  "@hono/zod-validator", // @hono/zod-openapi
  "openapi3-ts", // @asteasolutions/zod-to-openapi
  "yaml", // openapi3-ts
  "@stablelib/base64", // standardwebhooks
  "fast-sha256", // standardwebhooks
  "wrangler", // its shims for nodejs_compat
  "unenv",
  "@cloudflare/unenv-preset",
];
/** The platform takes 3 MB gzipped on Free and 10 MB on Paid; a Worker this size starts in a moment. */
const GZIP_LIMIT_BYTES = 1_000_000;

interface Metafile {
  inputs: Record<string, unknown>;
}

describe("the bundle that is deployed", () => {
  let inputs: string[] = [];
  let code = "";

  beforeAll(() => {
    const outdir = temporaryDir();
    const cli = join(projectDir, "node_modules/wrangler/wrangler-dist/cli.js");
    const args = ["deploy", "--dry-run", "--outdir", outdir, "--metafile"];
    execFileSync(process.execPath, [cli, ...args], {
      cwd: projectDir,
      env: { ...process.env, WRANGLER_SEND_METRICS: "false" },
      stdio: "pipe",
    });
    const meta = JSON.parse(readFileSync(join(outdir, "bundle-meta.json"), "utf8")) as Metafile;
    inputs = Object.keys(meta.inputs);
    code = readFileSync(join(outdir, "index.js"), "utf8");
  }, PATIENT);

  test("has the Worker's rooms in it, and none that run elsewhere", () => {
    const own = inputs.filter((path) => /(^|\/)src\//.test(path) && !path.includes("node_modules"));
    for (const room of ["api", "batch", "consumer", "core", "limiter", "project", "webhooks"]) {
      expect(
        own.some((path) => path.includes(`src/${room}/`)),
        room,
      ).toBe(true);
    }
    expect(own.filter((path) => /src\/(cli|simulator)\/|(^|\/)test\//.test(path))).toEqual([]);
  });

  test("has no package in it but the dependencies, and what they bring along", () => {
    const packages = inputs.flatMap((path) => {
      const name = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1];
      return name === undefined ? [] : [name];
    });
    const known = new Set([...Object.keys(packageJson.dependencies), ...BROUGHT_ALONG]);
    expect([...new Set(packages)].filter((name) => !known.has(name))).toEqual([]);
  });

  test("is small, and holds no local key", () => {
    expect(gzipSync(code).length).toBeLessThan(GZIP_LIMIT_BYTES);
    expect(code).not.toContain("sk-muster-local");
  });
});
