import { useRef, useState } from "preact/hooks";
import { number } from "./format.ts";
import type { Kind, Read } from "./input.ts";
import { type Source, sourceOf } from "./source.ts";

/** A longer text is not shown in the field; it is used all the same. */
const SHOWN = 200_000;
const LISTED_FAULTS = 20;

/** The field that tasks are pasted or dropped into, what was found in it, and what is wrong there. */
export function TaskField({
  source,
  kind,
  found,
  change,
}: {
  source: Source;
  kind: Kind;
  found: Read;
  change: (source: Source) => void;
}) {
  const { text, name } = source;
  const [over, setOver] = useState(false);
  const chooser = useRef<HTMLInputElement>(null);
  const isLong = text.length > SHOWN;
  const take = async (file: File | undefined) => {
    if (file !== undefined) change(sourceOf(file.name, new Uint8Array(await file.arrayBuffer())));
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    void take(event.dataTransfer?.files[0]);
  };
  return (
    <>
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
          readOnly={isLong}
          value={isLong ? text.slice(0, SHOWN) : text}
          onInput={(event) => change({ name, text: event.currentTarget.value })}
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
              <button type="button" class="quiet" onClick={() => change({ name: "", text: "" })}>
                Remove
              </button>
            </span>
          )}
          <span id="found" role="status">
            {told(kind, found.lines.length, found.faults.length, isLong)}
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
    </>
  );
}

function told(kind: Kind, tasks: number, faults: number, isLong: boolean): string {
  if (tasks + faults === 0) return "";
  const name = { prompts: "prompts", jsonl: "requests", csv: "rows" }[kind];
  const wrong = faults === 0 ? "" : `, ${number(faults)} wrong`;
  return `${number(tasks)} ${name}${wrong}${isLong ? "; only the beginning is shown" : ""}`;
}
