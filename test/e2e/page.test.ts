import { readFileSync } from "node:fs";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { questions } from "../../src/cli/questions.ts";
import type { BatchObject } from "../../src/wire/batch.ts";
import type { FileObject } from "../../src/wire/file.ts";
import { chromiumPath, startChromium } from "../support/chromium.ts";
import { type Running, startTestMuster } from "../support/muster.ts";
import { until } from "../support/wait.ts";

/** Where a build runs there has to be one; elsewhere its lack is said, and no failure. */
const absent = chromiumPath() === undefined && process.env.CI !== "true";
if (absent)
  console.log("No Chromium: the page's tests are left out. CHROMIUM_PATH says where one is.");

/** Tasks of the large batch; MUSTER_PAGE_TASKS=100000 takes some minutes. */
const LARGE = Number(process.env.MUSTER_PAGE_TASKS ?? 3_000);

/** The name of the control that has the focus. As text: this file knows Node's types alone. */
const FOCUSED = `(() => {
  const element = document.activeElement;
  if (!/^(A|BUTTON|INPUT|SELECT)$/.test(element.tagName)) return "";
  return element.getAttribute("aria-label") ?? element.textContent;
})()`;

interface Seen {
  nameless: string[];
  width: number;
  headings: number;
  main: number;
}

/** Controls that a screen reader has no name for, the width of it all, and its landmarks. */
const SEEN = `({
  nameless: [...document.querySelectorAll("button, input, select, textarea, a[href]")]
    .filter((element) => {
      const text = element.getAttribute("aria-label") ?? element.textContent ?? "";
      return text.trim() === "" && !(element.labels && element.labels.length > 0);
    })
    .map((element) => element.outerHTML),
  width: document.documentElement.scrollWidth,
  headings: document.querySelectorAll("h1").length,
  main: document.querySelectorAll("main").length,
})`;

describe.skipIf(absent)("the page in Chromium", () => {
  let muster: Running;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  /** Everything that Chromium complained about: policy violations among it. */
  const complaints: string[] = [];
  const origin = () => muster.url.replace("/v1", "");

  beforeAll(async () => {
    muster = await startTestMuster({
      latency: { kind: "lognormal", medianMs: 60, sigma: 0.5, maxMs: 500 },
      faults: [
        { kind: "status", code: 400, match: "[bad]", attempts: "always" },
        { kind: "status", code: 429, rate: 0.02, attempts: "first", retryAfterMs: 50 },
      ],
    });
    browser = await startChromium();
  });
  afterAll(async () => {
    await browser?.close();
    await muster?.stop();
  });

  /** A tab of its own, with the key given or not. */
  async function open(
    options: { key?: boolean; width?: number; dark?: boolean } = {},
  ): Promise<void> {
    await context?.close();
    context = await browser.newContext({
      viewport: { width: options.width ?? 1280, height: 900 },
      colorScheme: options.dark ? "dark" : "light",
      acceptDownloads: true,
    });
    page = await context.newPage();
    page.setDefaultTimeout(30_000);
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text());
    });
    await page.goto(origin());
    if (options.key === false) return;
    await page.getByLabel("API key").fill(muster.apiKey);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Batches" }).waitFor();
  }

  async function ended(id: string): Promise<BatchObject> {
    return until(
      async () => (await (await muster.get(`/batches/${id}`)).json()) as BatchObject,
      ({ status }) => /completed|cancelled|failed|expired/.test(status),
    );
  }

  async function post(prompts: readonly string[], more: object = {}): Promise<string> {
    const response = await muster.post("/batches", { model: "m", prompts, ...more });
    return ((await response.json()) as BatchObject).id;
  }

  async function filesNamed(name: string): Promise<number> {
    const list = (await (await muster.get("/files?limit=1000")).json()) as { data: FileObject[] };
    return list.data.filter(({ filename }) => filename === name).length;
  }

  test("asks for a key, says when it is wrong, keeps it for the tab and no longer", async () => {
    await open({ key: false });
    await page.getByLabel("API key").fill("sk-wrong-key");
    await page.getByRole("button", { name: "Open" }).click();
    await page.getByText("Muster does not know this key.").waitFor();
    expect(complaints.splice(0).join()).toContain("401");
    await page.getByLabel("API key").fill(muster.apiKey);
    await page.getByRole("button", { name: "Open" }).click();
    await page.getByText("No batches yet.").waitFor();
    await page.reload();
    await page.getByRole("heading", { name: "Batches" }).waitFor();
    const other = await context.newPage();
    await other.goto(origin());
    await other.getByLabel("API key").waitFor();
    expect(await context.cookies()).toEqual([]);
    await page.getByRole("button", { name: "Forget key" }).click();
    await page.getByLabel("API key").waitFor();
  });

  test("the journey: paste 300 real questions, watch, look at a task, download", async () => {
    await open();
    await page.getByRole("link", { name: "New batch" }).first().click();
    const prompts = questions(300).map((text) => text.replace(/\s+/g, " "));
    await page.getByLabel(/^Tasks/).fill(prompts.join("\n"));
    await page.getByText("300 prompts, 1 wrong").waitFor();
    await page.getByText("Prompts need a model.").waitFor();
    await page.getByLabel("Model").fill("gpt-4o-mini");
    await page.getByRole("button", { name: "Check and estimate" }).click();
    await page.locator("#estimate").getByText("Tokens in").waitFor();
    await page.getByRole("button", { name: "Send 300 tasks" }).click();
    await page.waitForURL(/#\/batches\/batch_/);
    const id = /batch_\w+/.exec(page.url())?.[0] ?? "";
    await page.getByText("in progress").first().waitFor();
    await page.getByText("completed", { exact: true }).first().waitFor();
    await page.getByText("300 succeeded").waitFor();
    await page.locator(".plot canvas").nth(1).waitFor();

    const japanese = prompts.find((text) => /[ぁ-ん]/.test(text)) ?? "";
    await page.getByLabel("Search").fill(japanese.slice(0, 12));
    await until(
      () => page.locator(".tasks tbody tr").count(),
      (rows) => rows === 1,
    );
    await page.locator(".tasks tbody button").click();
    const detail = page.getByRole("region", { name: /^Task line-/ });
    await detail.getByText(japanese).waitFor();
    await detail.getByText("digest:").waitFor();
    const [prompt, answer] = await Promise.all(
      [0, 1].map((n) => detail.locator("pre").nth(n).boundingBox()),
    );
    // Side by side, each with room to read.
    expect(prompt?.y).toBe(answer?.y);
    expect(prompt?.width).toBeGreaterThan(400);
    expect(answer?.x).toBeGreaterThan((prompt?.x ?? 0) + (prompt?.width ?? 0));

    const lines = new Map<string, string>();
    for (const format of ["JSONL", "JSON", "CSV"]) {
      const saved = page.waitForEvent("download");
      await page.getByRole("button", { name: `Download ${format}`, exact: true }).click();
      lines.set(format, readFileSync(await (await saved).path(), "utf8"));
    }
    const response = await muster.get(`/batches/${id}/results`, { accept: "application/jsonl" });
    expect(lines.get("JSONL")).toBe(await response.text());
    expect(JSON.parse(lines.get("JSON") ?? "")).toMatchObject({ total: 300, success_count: 300 });
    expect(lines.get("CSV")?.match(/,succeeded,/g)).toHaveLength(300);
    expect(complaints).toEqual([]);
  });

  test("hostile prompts, ids and metadata stay text", async () => {
    const hostile = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`;
    const id = await post([`[bad] ${hostile}`, `\u202E${hostile}`], {
      metadata: { [hostile.slice(0, 60)]: hostile },
    });
    await ended(id);
    await open();
    await page.goto(`${origin()}/#/batches/${id}`);
    await page.locator(".figures").getByText(hostile).waitFor();
    await page.locator(".tasks tbody button").first().click();
    await page.getByRole("region", { name: "Task task-0" }).getByText(hostile).waitFor();
    await page.goto(`${origin()}/#/batches/${encodeURIComponent(hostile)}`);
    await page.getByRole("alert").waitFor();
    expect(await page.title()).toBe("Muster");
    expect(await page.locator("img, main script").count()).toBe(0);
    // A batch of that name is not there; nothing else is complained about.
    expect(complaints.splice(0).filter((text) => !text.includes("404"))).toEqual([]);
  });

  test("is used by keyboard alone, from the key to a paused and cancelled batch", async () => {
    const id = await post(
      Array.from({ length: 400 }, (_, n) => `slow ${n}`),
      { max_concurrency: 1 },
    );
    await open();
    const press = async (name: string) => {
      for (let presses = 0; presses < 60; presses += 1) {
        await page.keyboard.press("Tab");
        const focused = await page.evaluate<string>(FOCUSED);
        if (focused.includes(name)) return page.keyboard.press("Enter");
      }
      throw new Error(`Tab does not lead to ${name}`);
    };
    await press(id);
    await page.getByRole("heading", { name: id }).waitFor();
    await press("Pause");
    await page.getByText("paused").first().waitFor();
    await press("Resume");
    await page.getByRole("button", { name: "Pause" }).waitFor();
    await press("Cancel");
    await page.getByText("cancelled", { exact: true }).first().waitFor();
    await press("Retry");
    await page.getByText("in progress").first().waitFor();
    await muster.post(`/batches/${id}/cancel`, {});
    expect(complaints).toEqual([]);
  });

  test("raises the concurrency of a running batch", async () => {
    const id = await post(
      Array.from({ length: 300 }, (_, n) => `raise ${n}`),
      { max_concurrency: 1 },
    );
    await open();
    await page.goto(`${origin()}/#/batches/${id}`);
    const set = page.getByRole("button", { name: "Set" });
    await set.waitFor();
    // Nothing was typed, so there is nothing to send.
    expect(await set.isDisabled()).toBe(true);
    await page.getByLabel("Calls at once").fill("40");
    await set.click();
    await page.getByText("300 succeeded").waitFor();
    expect((await ended(id)).muster.max_concurrency).toBe(40);
  });

  test("drops a JSONL file, and names its lines that are wrong", async () => {
    await open();
    await page.goto(`${origin()}/#/new`);
    const content = '{"prompt":"good"}\nnot json\n{"messages":[]}\n';
    await page.getByLabel("File with tasks").setInputFiles({
      name: "tasks.jsonl",
      mimeType: "application/jsonl",
      buffer: Buffer.from(content),
    });
    const wrong = page.getByRole("list", { name: "What is wrong" });
    await wrong.getByText("Line 2:").waitFor();
    expect(await page.getByRole("button", { name: /^Send/ }).isDisabled()).toBe(true);
    expect(complaints).toEqual([]);
  });

  test("uses nothing of a dropped file that is not UTF-8, nor of a JSON array", async () => {
    await open();
    await page.goto(`${origin()}/#/new`);
    const wrong = page.getByRole("list", { name: "What is wrong" });
    const drop = (name: string, buffer: Buffer) =>
      page.getByLabel("File with tasks").setInputFiles({ name, mimeType: "text/plain", buffer });
    await drop("sjis.csv", Buffer.from([...Buffer.from("prompt\n"), 0x93, 0xfa, 0x0a]));
    await wrong.getByText("Line 2: Is not UTF-8").waitFor();
    await drop("list.txt", Buffer.from('[\n{"prompt":"a"}\n]\n'));
    await wrong.getByText("Line 1: is a JSON array").waitFor();
    expect(await page.getByRole("button", { name: /^Send/ }).isDisabled()).toBe(true);
    await drop("good.txt", Buffer.from("one\ntwo\n"));
    await page.getByText("2 prompts").waitFor();
  });

  test("opens a batch with options and a budget, and raises the budget that stopped it", async () => {
    await open();
    await page.goto(`${origin()}/#/new`);
    const prompts = Array.from({ length: 40 }, (_, n) => `question ${n % 20}`);
    await page.getByLabel(/^Tasks/).fill(prompts.join("\n"));
    await page.getByLabel("Model").fill("gpt-4o-mini");
    await page.getByLabel("Tokens of an answer").fill("10");
    await page.getByText("Limits and options").click();
    await page.getByLabel("Tokens in all").fill("60");
    await page.getByLabel("Expires after").fill("1h");
    await page.getByLabel("Call equal requests once").check();
    await page.getByLabel("Use all upstreams at once").check();
    await page.getByRole("button", { name: "Send 40 tasks" }).click();
    await page.waitForURL(/#\/batches\/batch_/);
    const id = /batch_\w+/.exec(page.url())?.[0] ?? "";
    const stopped = await ended(id);
    expect(stopped).toMatchObject({
      completion_window: "1h",
      muster: { dedupe: true, pool: true, twins: 20, budget: { max_tokens_total: 60 } },
    });
    expect(stopped.muster.budget.stopped).toBeGreaterThan(20);
    await page.getByText("Stopped for budget").waitFor();
    await page.getByLabel("Tokens in all").fill("100000");
    await page.getByRole("button", { name: /^Retry \d+ failed/ }).click();
    await page.getByText("40 succeeded").waitFor();
    expect((await ended(id)).muster.budget).toMatchObject({
      max_tokens_total: 100_000,
      stopped: 0,
    });
    expect(complaints).toEqual([]);
  });

  test("opens a batch once, though the answer was lost and it is sent again", async () => {
    await open();
    await page.goto(`${origin()}/#/new`);
    await page.getByLabel(/^Tasks/).fill("asked and paid for once");
    await page.getByLabel("Model").fill("gpt-4o-mini");
    const opened: string[] = [];
    await page.route("**/v1/batches", async (route) => {
      const response = await route.fetch();
      opened.push(((await response.json()) as BatchObject).id);
      await (opened.length === 1 ? route.abort() : route.fulfill({ response }));
    });
    await page.getByRole("button", { name: "Send 1 task" }).click();
    await page.getByRole("alert").getByText("What was opened is not opened twice").waitFor();
    await page.getByRole("button", { name: "Send 1 task" }).click();
    await page.waitForURL(/#\/batches\/batch_/);
    expect(opened).toEqual([opened[0], opened[0]]);
    expect(page.url()).toContain(opened[0]);
    await page.getByText("1 succeeded").waitFor();
    expect(complaints.splice(0).join()).toContain("ERR_FAILED");
  });

  test("says what is wrong with an option, by its name", async () => {
    await open();
    await page.goto(`${origin()}/#/new`);
    await page.getByLabel(/^Tasks/).fill("question");
    await page.getByLabel("Model").fill("gpt-4o-mini");
    await page.getByText("Limits and options").click();
    await page.getByLabel("Expires after").fill("soon");
    await page.getByRole("button", { name: "Send 1 task" }).click();
    await page.getByRole("alert").getByText("completion_window").waitFor();
    expect(complaints.splice(0).join()).toContain("400");
    const before = await filesNamed("pasted.jsonl");
    await page.getByLabel("Expires after").fill("");
    await page.getByRole("button", { name: "Check and estimate" }).click();
    await page.locator("#estimate").getByText("Tokens in").waitFor();
    // What was sent to be looked at is not kept.
    expect(await filesNamed("pasted.jsonl")).toBe(before);
  });

  test.each([
    ["light", 1280],
    ["dark", 1280],
    ["light", 360],
  ])("every control has a name, and nothing overflows: %s at %d px", async (scheme, width) => {
    const id = await post([...questions(20), "[bad] a very-long-word-".repeat(20)]);
    await ended(id);
    await open({ width, dark: scheme === "dark" });
    for (const place of ["#/", `#/batches/${id}`, "#/new", "#/upstreams"]) {
      await page.goto(`${origin()}/${place}`);
      await page.locator("h1").waitFor();
      if (place.includes(id)) await page.locator(".tasks tbody button").last().click();
      const seen = await page.evaluate<Seen>(SEEN);
      expect(seen).toMatchObject({ nameless: [], headings: 1, main: 1 });
      expect(seen.width).toBeLessThanOrEqual(width);
    }
    expect(complaints).toEqual([]);
  });

  test(`shows ${LARGE} tasks a page at a time, and finds the last of them`, async () => {
    const lines = Array.from(
      { length: LARGE },
      (_, n) =>
        `{"custom_id":"t-${n}","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[{"role":"user","content":"many ${n}"}]}}\n`,
    );
    const form = new FormData();
    form.set("purpose", "batch");
    form.set("file", new Blob(lines), "many.jsonl");
    const headers = { authorization: `Bearer ${muster.apiKey}` };
    const sent = await fetch(`${muster.url}/files`, { method: "POST", headers, body: form });
    const { id: input_file_id } = (await sent.json()) as { id: string };
    const endpoint = "/v1/chat/completions";
    const opened = await muster.post("/batches", { input_file_id, endpoint });
    const { id } = (await opened.json()) as BatchObject;
    await open();
    await page.goto(`${origin()}/#/batches/${id}`);
    await page.locator(".tasks tbody tr").nth(49).waitFor();
    expect(await page.locator(".tasks tbody tr").count()).toBe(50);
    await page.getByRole("button", { name: "Next" }).click();
    await page.getByRole("button", { name: "t-50", exact: true }).waitFor();
    await page.getByLabel("Search").fill(`many ${LARGE - 1}`);
    await page.getByRole("button", { name: `t-${LARGE - 1}`, exact: true }).waitFor();
    await muster.post(`/batches/${id}/cancel`, {});
    await ended(id);
    expect(complaints).toEqual([]);
  });
});
