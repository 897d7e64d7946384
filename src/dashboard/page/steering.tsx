import { useState } from "preact/hooks";
import type { BatchObject } from "../../wire/batch.ts";
import { messageOf, send } from "./api.ts";
import { type DownloadFormat, download } from "./download.ts";
import { number } from "./format.ts";
import { changesOf, type LimitTexts, textsOf } from "./limits.ts";
import { NumberField } from "./number-field.tsx";
import { isOpen, Problem } from "./parts.tsx";

/** What can be done with a batch as it stands, and its results to take away. */
export function Steering({
  batch,
  path,
  again,
}: {
  batch: BatchObject;
  path: string;
  again: () => void;
}) {
  const [busy, setBusy] = useState<string>();
  const [error, setError] = useState<string>();
  const [typed, setTyped] = useState<Partial<LimitTexts>>({});
  const act = async (name: string, work: () => Promise<unknown>) => {
    setBusy(name);
    setError(undefined);
    try {
      await work();
    } catch (failure) {
      setError(messageOf(failure));
    }
    setBusy(undefined);
    again();
  };
  const steer = (name: string) => act(name, () => send("POST", `${path}/${name}`));
  const running = batch.status === "in_progress" || batch.status === "validating";
  const { failed, cancelled, expired } = batch.muster.counts;
  const unfinished = failed + cancelled + expired;
  const retryable = unfinished > 0 && !isOpen(batch) && batch.status !== "failed";
  const change = (event: Event) => {
    event.preventDefault();
    void act(retryable ? "retry" : "change", async () => {
      const { max_concurrency, ...budget } = changesOf(typed);
      // A retry takes a budget alone; how many calls were typed for the run that ended is over.
      if (retryable) await send("POST", `${path}/retry`, budget);
      else await send("PATCH", path, { ...budget, max_concurrency });
      setTyped({});
    });
  };
  const texts = { ...textsOf(batch), ...typed };
  const field = (name: keyof LimitTexts) => ({
    value: texts[name],
    change: (text: string) => setTyped({ ...typed, [name]: text }),
    placeholder: "no limit",
  });
  return (
    <div class="steering">
      {running && !batch.muster.paused && (
        <button type="button" disabled={busy !== undefined} onClick={() => steer("pause")}>
          Pause
        </button>
      )}
      {running && batch.muster.paused && (
        <button
          type="button"
          class="main"
          disabled={busy !== undefined}
          onClick={() => steer("resume")}
        >
          Resume
        </button>
      )}
      {running && (
        <button
          type="button"
          class="danger"
          disabled={busy !== undefined}
          onClick={() => steer("cancel")}
        >
          Cancel
        </button>
      )}
      {(running || retryable) && (
        <form class="inline" onSubmit={change}>
          {running && <NumberField label="Calls at once" most={10_000} {...field("concurrency")} />}
          {batch.muster.budget.max_tokens_total !== null && (
            <NumberField label="Tokens in all" {...field("tokens")} />
          )}
          {batch.muster.budget.max_cost !== null && (
            <NumberField label="Dollars in all" isMoney {...field("dollars")} />
          )}
          <button
            type="submit"
            class={retryable ? "main" : ""}
            disabled={busy !== undefined || !(retryable || Object.keys(typed).length > 0)}
          >
            {retryable ? `Retry ${number(unfinished)} failed` : "Set"}
          </button>
        </form>
      )}
      <Downloads
        disabled={busy !== undefined}
        save={(format) => act(`download ${format}`, () => download(path, batch, format))}
      />
      <Problem text={error} />
    </div>
  );
}

function Downloads({
  disabled,
  save,
}: {
  disabled: boolean;
  save: (format: DownloadFormat) => void;
}) {
  return (
    <fieldset class="downloads">
      <legend class="hidden">Download the results</legend>
      <span aria-hidden="true">Download</span>
      {(["jsonl", "json", "csv"] as const).map((format) => (
        <button
          key={format}
          type="button"
          aria-label={`Download ${format.toUpperCase()}`}
          disabled={disabled}
          onClick={() => save(format)}
        >
          {format.toUpperCase()}
        </button>
      ))}
    </fieldset>
  );
}
