import { useRef, useState } from "preact/hooks";
import type { BatchObject } from "../../wire/batch.ts";
import type { BatchCheck } from "../../wire/check.ts";
import type { FileObject } from "../../wire/file.ts";
import { ask, messageOf, send } from "./api.ts";
import { Estimate } from "./estimate.tsx";
import { number } from "./format.ts";
import { useSettled } from "./hooks.ts";
import { type Kind, kindOf, read, type Settings } from "./input.ts";
import { Problem, Title } from "./parts.tsx";

const CHAT = "/v1/chat/completions";
/** A longer text is not shown in the field; it is used all the same. */
const SHOWN = 200_000;
const LISTED_FAULTS = 20;

/** Prompts pasted or a file dropped, checked line by line, estimated, and sent. */
export function NewBatch() {
  const [text, setText] = useState("");
  const [name, setName] = useState("");
  const [settings, setSettings] = useState<Settings>({
    model: "",
    system: "",
    maxTokens: "",
    template: "",
  });
  const [concurrency, setConcurrency] = useState("");
  const [over, setOver] = useState(false);
  const [busy, setBusy] = useState<string>();
  const [error, setError] = useState<string>();
  const [checked, setChecked] = useState<BatchCheck>();
  const chooser = useRef<HTMLInputElement>(null);
  const settled = useSettled(text, 200);
  const kind = kindOf(settled, name);
  const found = read(settled, kind, settings);
  const ready = found.lines.length > 0 && found.faults.length === 0;

  const change = (part: Partial<Settings>) => {
    setSettings({ ...settings, ...part });
    setChecked(undefined);
  };
  const take = async (file: File | undefined) => {
    if (file === undefined) return;
    setName(file.name);
    setText(await file.text());
    setChecked(undefined);
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    void take(event.dataTransfer?.files[0]);
  };
  const work = async (what: string, doing: () => Promise<void>) => {
    setBusy(what);
    setError(undefined);
    try {
      await doing();
    } catch (failure) {
      setError(messageOf(failure));
    }
    setBusy(undefined);
  };
  /** Uploads the lines, and opens a batch of them or has it checked. */
  const post = async <T,>(path: string): Promise<{ answer: T; file: string }> => {
    const form = new FormData();
    form.set("purpose", "batch");
    const lines = new Blob(found.lines.map((line) => `${line}\n`));
    form.set("file", lines, `${(name || "pasted").replace(/\.\w+$/, "")}.jsonl`);
    const uploaded = await ask("/v1/files", { method: "POST", body: form });
    const { id } = (await uploaded.json()) as FileObject;
    const max = concurrency.trim();
    const answer = await send<T>("POST", path, {
      input_file_id: id,
      endpoint: found.endpoint ?? CHAT,
      completion_window: "24h",
      ...(max === "" ? {} : { max_concurrency: Number(max) }),
    });
    return { answer, file: id };
  };
  const check = () =>
    work("check", async () => {
      const { answer, file } = await post<BatchCheck>("/v1/batches?dry_run=true");
      setChecked(answer);
      await ask(`/v1/files/${file}`, { method: "DELETE" });
    });
  const open = (event: Event) => {
    event.preventDefault();
    void work("send", async () => {
      const { answer } = await post<BatchObject>("/v1/batches");
      location.hash = `#/batches/${answer.id}`;
    });
  };

  return (
    <>
      <Title>New batch</Title>
      <form class="new" onSubmit={open}>
        <div class={over ? "drop over" : "drop"}>
          <label for="tasks-text">
            Tasks: a prompt a line, or JSONL, or drop a JSONL or CSV file here
          </label>
          <textarea
            onDragOver={(event) => {
              event.preventDefault();
              setOver(true);
            }}
            onDragLeave={() => setOver(false)}
            onDrop={drop}
            id="tasks-text"
            rows={12}
            spellcheck={false}
            dir="auto"
            readOnly={text.length > SHOWN}
            value={text.length > SHOWN ? text.slice(0, SHOWN) : text}
            onInput={(event) => {
              setText(event.currentTarget.value);
              setChecked(undefined);
            }}
            aria-describedby="found"
          />
          <div class="under">
            <button type="button" onClick={() => chooser.current?.click()}>
              Choose a file
            </button>
            <input
              ref={chooser}
              type="file"
              class="hidden"
              tabIndex={-1}
              aria-label="File with tasks"
              accept=".jsonl,.ndjson,.csv,.txt"
              onChange={(event) => void take(event.currentTarget.files?.[0])}
            />
            {name !== "" && (
              <span>
                {name}{" "}
                <button
                  type="button"
                  class="quiet"
                  onClick={() => {
                    setName("");
                    setText("");
                    setChecked(undefined);
                  }}
                >
                  Remove
                </button>
              </span>
            )}
            <span id="found" role="status">
              {told(kind, found.lines.length, found.faults.length, text.length > SHOWN)}
            </span>
          </div>
        </div>
        {found.faults.length > 0 && (
          <ul class="error" aria-label="What is wrong">
            {found.faults.slice(0, LISTED_FAULTS).map(({ line, message }) => (
              <li key={`${line} ${message}`}>
                <b>Line {number(line)}:</b> {message}
              </li>
            ))}
            {found.faults.length > LISTED_FAULTS && (
              <li>and {number(found.faults.length - LISTED_FAULTS)} more</li>
            )}
          </ul>
        )}
        <div class="fields">
          <label>
            Model
            <input
              value={settings.model}
              placeholder="gpt-4o-mini"
              spellcheck={false}
              onInput={(event) => change({ model: event.currentTarget.value })}
            />
          </label>
          <label>
            Tokens of an answer, at most
            <input
              type="number"
              min={1}
              value={settings.maxTokens}
              onInput={(event) => change({ maxTokens: event.currentTarget.value })}
            />
          </label>
          <label>
            Calls at once, at most
            <input
              type="number"
              min={1}
              max={10_000}
              value={concurrency}
              onInput={(event) => setConcurrency(event.currentTarget.value)}
            />
          </label>
          <label class="wide">
            System message
            <input
              value={settings.system}
              dir="auto"
              onInput={(event) => change({ system: event.currentTarget.value })}
            />
          </label>
          {kind === "csv" && (
            <label class="wide">
              Prompt, with {"{{column}}"} in it
              <input
                value={settings.template}
                dir="auto"
                placeholder="{{prompt}}"
                onInput={(event) => change({ template: event.currentTarget.value })}
              />
            </label>
          )}
        </div>
        <div class="steering">
          <button type="button" disabled={!ready || busy !== undefined} onClick={check}>
            {busy === "check" ? "Checking…" : "Check and estimate"}
          </button>
          <button type="submit" class="main" disabled={!ready || busy !== undefined}>
            {busy === "send" ? "Sending…" : `Send ${number(found.lines.length)} tasks`}
          </button>
        </div>
        <Problem text={error} />
        {checked !== undefined && <Estimate check={checked} />}
      </form>
    </>
  );
}

function told(kind: Kind, tasks: number, faults: number, long: boolean): string {
  if (tasks + faults === 0) return "";
  const name = { prompts: "prompts", jsonl: "requests", csv: "rows" }[kind];
  const wrong = faults === 0 ? "" : `, ${number(faults)} wrong`;
  return `${number(tasks)} ${name}${wrong}${long ? "; only the beginning is shown" : ""}`;
}
