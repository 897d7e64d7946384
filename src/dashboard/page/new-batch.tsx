import { useMemo, useState } from "preact/hooks";
import { MESSAGES_MAX_TOKENS } from "../../core/request-line.ts";
import type { BatchCheck } from "../../wire/check.ts";
import { messageOf } from "./api.ts";
import { Estimate } from "./estimate.tsx";
import { number } from "./format.ts";
import { useSettled } from "./hooks.ts";
import { kindOf, read } from "./input.ts";
import { NumberField } from "./number-field.tsx";
import { OptionFields } from "./option-fields.tsx";
import { NO_OPTIONS, type Options, requestOf } from "./options.ts";
import { Problem, Title } from "./parts.tsx";
import type { Settings } from "./request-maker.ts";
import { Sending } from "./sending.ts";
import type { Source } from "./source.ts";
import { TaskField } from "./task-field.tsx";
import { useUpstreams } from "./upstreams.tsx";

const CHAT = "/v1/chat/completions";
const NO_SETTINGS: Settings = { model: "", system: "", maxTokens: "", template: "" };

/** Prompts pasted or a file dropped, checked line by line, estimated, and sent. */
export function NewBatch() {
  const [source, setSource] = useState<Source>({ text: "", name: "" });
  const [settings, setSettings] = useState(NO_SETTINGS);
  const [options, setOptions] = useState(NO_OPTIONS);
  const [busy, setBusy] = useState<string>();
  const [error, setError] = useState<string>();
  const [checked, setChecked] = useState<BatchCheck>();
  const settled = useSettled(source.text, 200);
  const kind = kindOf(settled, source.name);
  const upstreams = useUpstreams(false);
  const { broken } = source;
  const found = useMemo(
    () =>
      broken === undefined
        ? read(settled, kind, settings, upstreams)
        : { lines: [], faults: [broken], endpoint: undefined },
    [settled, kind, settings, upstreams, broken],
  );
  const isForMessages = kind !== "jsonl" && found.endpoint === "/v1/messages";
  const tasks = found.lines.length;
  const ready = tasks > 0 && found.faults.length === 0;

  const changeSource = (now: Source) => {
    setSource(now);
    setChecked(undefined);
  };
  const change = (part: Partial<Settings>) => {
    setSettings({ ...settings, ...part });
    setChecked(undefined);
  };
  const changeOptions = (part: Partial<Options>) => {
    setOptions({ ...options, ...part });
    setChecked(undefined);
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
  const sending = useMemo(() => {
    const name = `${(source.name || "pasted").replace(/\.\w+$/, "")}.jsonl`;
    return new Sending(found.lines, name, {
      endpoint: found.endpoint ?? CHAT,
      ...requestOf(options),
    });
  }, [found, options, source.name]);
  const check = () => work("check", async () => setChecked(await sending.check()));
  const open = (event: Event) => {
    event.preventDefault();
    void work("send", async () => {
      const { id } = await sending.open();
      location.hash = `#/batches/${id}`;
    });
  };

  return (
    <>
      <Title>New batch</Title>
      <form class="new" onSubmit={open}>
        <TaskField source={source} kind={kind} found={found} change={changeSource} />
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
          <NumberField
            label="Tokens of an answer, at most"
            value={settings.maxTokens}
            change={(maxTokens) => change({ maxTokens })}
            placeholder={isForMessages ? `${MESSAGES_MAX_TOKENS}` : ""}
          />
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
        <OptionFields options={options} change={changeOptions} />
        <div class="steering">
          <button type="button" disabled={!ready || busy !== undefined} onClick={check}>
            {busy === "check" ? "Checking…" : "Check and estimate"}
          </button>
          <button type="submit" class="main" disabled={!ready || busy !== undefined}>
            {busy === "send"
              ? "Sending…"
              : `Send ${number(tasks)} ${tasks === 1 ? "task" : "tasks"}`}
          </button>
        </div>
        <Problem text={error} />
        {checked !== undefined && <Estimate check={checked} />}
      </form>
    </>
  );
}
