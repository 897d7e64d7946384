import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { useSettled } from "./hooks.ts";

/** A keystroke is looked for when no other has followed it for so long. */
const SETTLED_MS = 250;

/** What a list is filtered by: a choice and a text; "" is all of it. */
export interface Filter {
  choice: string;
  /** As it was typed, and as it is searched for. */
  typed: string;
  search: string;
  choose: (choice: string) => void;
  type: (text: string) => void;
}

/** A filter that lets everything through until somebody uses it. */
export function useFilter(): Filter {
  const [choice, choose] = useState("");
  const [typed, type] = useState("");
  return { choice, typed, search: useSettled(typed.trim(), SETTLED_MS), choose, type };
}

/** The form of a filter, and what stands behind its fields. */
export function Filters({
  filter,
  name,
  choices,
  hint,
  children,
}: {
  filter: Filter;
  /** Of what is chosen. */
  name: string;
  choices: readonly string[];
  /** What is searched. */
  hint: string;
  children?: ComponentChildren;
}) {
  return (
    <search>
      <form class="filters" onSubmit={(event) => event.preventDefault()}>
        <label>
          {name}{" "}
          <select
            value={filter.choice}
            onChange={(event) => filter.choose(event.currentTarget.value)}
          >
            <option value="">all</option>
            {choices.map((choice) => (
              <option key={choice} value={choice}>
                {choice.replace("_", " ")}
              </option>
            ))}
          </select>
        </label>
        <label class="grow">
          Search{" "}
          <input
            type="search"
            placeholder={hint}
            value={filter.typed}
            onInput={(event) => filter.type(event.currentTarget.value)}
          />
        </label>
        {children}
      </form>
    </search>
  );
}
