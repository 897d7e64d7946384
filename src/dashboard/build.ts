import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/**
 * Bundles the page (page/main.tsx, with its styles) into built/page.ts, which the Worker imports.
 * Run by wrangler before it bundles the Worker, by `npm run check` and by the tests. What it makes
 * is not kept in git.
 */
export async function buildPage(): Promise<void> {
  const here = import.meta.dirname;
  const { outputFiles } = await build({
    entryPoints: [join(here, "page/main.tsx")],
    outdir: join(here, "built"),
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    target: ["es2023", "chrome120", "firefox120", "safari17"],
    jsx: "automatic",
    jsxImportSource: "preact",
    charset: "utf8",
    legalComments: "none",
    logLevel: "warning",
  });
  const text = (ending: string) =>
    outputFiles.find(({ path }) => path.endsWith(ending))?.text ?? "";
  const [script, style] = [text(".js"), text(".css")];
  const hash = createHash("sha256").update(script).update(style).digest("hex").slice(0, 16);
  const module = [
    "// Made by src/dashboard/build.ts.",
    `export const hash = ${JSON.stringify(hash)};`,
    `export const script = ${JSON.stringify(script)};`,
    `export const style = ${JSON.stringify(style)};\n`,
  ].join("\n");
  const file = join(here, "built/page.ts");
  // Left alone when nothing changed: wrangler watches it.
  if (read(file) === module) return;
  mkdirSync(join(here, "built"), { recursive: true });
  writeFileSync(file, module);
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildPage();
