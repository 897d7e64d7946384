import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { projectDir } from "../../src/cli/workspace.ts";

/** The pages that tell people of Muster: by path from the top, and their text. */
export const pages = [
  "README.md",
  "src/README.md",
  "src/OPERATING.md",
  "src/api/README.md",
  "src/config/README.md",
  "test/README.md",
  "test/conformance/README.md",
].map((path) => ({ path, text: readFileSync(join(projectDir, path), "utf8") }));

/** The text of one of them. */
export function pageOf(path: string): string {
  const page = pages.find((one) => one.path === path);
  if (page === undefined) throw new Error(`there is no page ${path}`);
  return page.text;
}

/** Where a link of a page leads: a path from the top, and the heading in it, if it names one. */
export function linksOf({ path, text }: (typeof pages)[number]) {
  return [...text.replace(/```.*?```/gs, "").matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = ""]) => target)
    .filter((target) => !/^https?:/.test(target))
    .map((target) => {
      const [file = "", anchor] = target.split("#");
      return { file: file === "" ? path : join(dirname(path), file), anchor };
    });
}

/** The anchors of a page's headings, as GitHub makes them. */
export function anchorsOf(text: string): string[] {
  return [...text.replace(/```.*?```/gs, "").matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

/** What stands in the first column of a section's tables, as code: `a`, `b`. */
export function rowsOf(text: string, heading: string): string[] {
  const [, hashes = "", rest] = new RegExp(`^(#+) ${heading}\\n([^]*)`, "m").exec(text) ?? [];
  const section = rest?.split(new RegExp(`^#{1,${hashes.length}} `, "m"))[0];
  if (section === undefined) throw new Error(`there is no section ${heading}`);
  return [...section.matchAll(/^\| ([^|]*)\|/gm)].flatMap(([, cell = ""]) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, word = ""]) => word),
  );
}
