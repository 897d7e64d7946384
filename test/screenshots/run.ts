import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { questions } from "../../src/cli/questions.ts";
import { projectDir } from "../../src/cli/workspace.ts";
import type { BatchObject } from "../../src/wire/batch.ts";
import { startChromium } from "../support/chromium.ts";
import { startTestMuster } from "../support/muster.ts";
import { until } from "../support/wait.ts";

/** `npm run screenshots`: the pictures of the README, of a real page over a real batch. */
const FOLDER = join(projectDir, "src/dashboard/screenshots");

const muster = await startTestMuster(
  {
    latency: { kind: "lognormal", medianMs: 500, sigma: 0.6, maxMs: 4_000 },
    faults: [
      { kind: "status", code: 429, rate: 0.03, attempts: "first", retryAfterMs: 100 },
      { kind: "status", code: 500, rate: 0.03, attempts: "first" },
      { kind: "status", code: 400, match: "Toulouse", attempts: "always" },
    ],
  },
  { UPSTREAM_MAX_CONCURRENCY: "24", UPSTREAM_RPM: "6000" },
);
const browser = await startChromium();
try {
  mkdirSync(FOLDER, { recursive: true });
  const open = async (count: number, more: object = {}): Promise<string> => {
    const body = { model: "gpt-4o-mini", prompts: questions(count), ...more };
    return ((await (await muster.post("/batches", body)).json()) as BatchObject).id;
  };
  const done = async (id: string) =>
    ((await (await muster.get(`/batches/${id}`)).json()) as BatchObject).request_counts.completed;
  const small = await open(40, { metadata: { topic: "first try" } });
  await until(
    () => done(small),
    (count) => count > 30,
  );
  const large = await open(1_000, { metadata: { topic: "all questions" } });
  await open(60, { model: "gpt-4o", max_concurrency: 2 });
  await until(
    () => done(large),
    (count) => count > 350,
  );
  const shoot = async (name: string, place: string, dark: boolean, ready?: string) => {
    const context = await browser.newContext({
      viewport: { width: 1180, height: 760 },
      colorScheme: dark ? "dark" : "light",
    });
    const page = await context.newPage();
    await page.addInitScript(
      `sessionStorage.setItem("muster-key", ${JSON.stringify(muster.apiKey)})`,
    );
    await page.goto(`${muster.url.replace("/v1", "")}/${place}`);
    if (name === "batch") await page.locator(".plot canvas").nth(1).waitFor();
    if (ready !== undefined) {
      await page.getByLabel(/^Tasks/).fill(
        questions(12)
          .map((text) => text.replace(/\s+/g, " "))
          .join("\n"),
      );
      await page.getByLabel("Model").fill("gpt-4o-mini");
      await page.getByRole("button", { name: ready }).click();
      await page.locator("#estimate").waitFor();
    }
    // Two looks, so that rates can be told.
    await page.waitForTimeout(2_500);
    if (name === "task") {
      await page.locator(".tasks tbody button").nth(1).click();
      await page.locator(".attempts").waitFor();
      await page.evaluate("document.querySelector('.tasks').scrollIntoView()");
    }
    const path = join(FOLDER, `${name}${dark ? "-dark" : ""}.png`);
    await page.screenshot({ path, fullPage: ready !== undefined });
    await context.close();
    console.log(`${name}${dark ? "-dark" : ""}.png`);
  };
  await shoot("batches", "#/", false);
  await shoot("batch", `#/batches/${large}`, false);
  await shoot("upstreams", "#/upstreams", false);
  await shoot("batch", `#/batches/${large}`, true);
  await shoot("task", `#/batches/${large}`, false);
  await shoot("new", "#/new", false, "Check and estimate");
} finally {
  await browser.close();
  await muster.stop();
}
