import { Fragment } from "preact";
import { useEffect, useState } from "preact/hooks";
import { readContent } from "../../core/content.ts";
import { readPrompt } from "../../core/prompt.ts";
import { TASK_STATES } from "../../core/task.ts";
import type { TaskList, TaskObject } from "../../wire/task.ts";
import { get } from "./api.ts";
import { Filters, useFilter } from "./filters.tsx";
import { number, span } from "./format.ts";
import { usePolled } from "./hooks.ts";
import { Problem } from "./parts.tsx";

const PAGE = 50;

interface WholeTask extends TaskObject {
  request: unknown;
  outcome: {
    response: { status_code: number; body: unknown } | null;
    error: { message: string } | null;
  } | null;
}

/** A batch's tasks, a page at a time: a hundred thousand are as light as fifty. */
export function Tasks({
  path,
  endpoint,
  total,
  open,
}: {
  path: string;
  endpoint: string;
  total: number;
  open: boolean;
}) {
  const filter = useFilter();
  const { choice: state, search } = filter;
  const [pages, setPages] = useState<number[]>([-1]);
  const [chosen, setChosen] = useState<string>();

  useEffect(() => setPages([-1]), [state, search, path]);
  const after = pages.at(-1) ?? -1;
  const { value, error } = usePolled(
    (signal) => find(path, { state, search, after }, signal),
    [path, state, search, after, open],
    () => (open ? 2_000 : undefined),
  );
  return (
    <section aria-labelledby="tasks">
      <h2 id="tasks">
        Tasks <span class="soft">{number(total)}</span>
      </h2>
      <Filters filter={filter} name="State" choices={TASK_STATES} hint="id, prompt or answer" />
      <Problem text={error} />
      {value?.data.length === 0 && <p class="empty">No task is like that.</p>}
      {value !== undefined && value.data.length > 0 && (
        <table class="tasks">
          <thead>
            <tr>
              <th scope="col">Task</th>
              <th scope="col">State</th>
              <th scope="col" class="numeric">
                Calls
              </th>
              <th scope="col" class="numeric">
                Latency
              </th>
              <th scope="col">Prompt</th>
              <th scope="col">Answer</th>
            </tr>
          </thead>
          <tbody>
            {value.data.map((task) => (
              <Fragment key={task.task_id}>
                <tr class={chosen === task.task_id ? "chosen" : undefined}>
                  <th scope="row">
                    <button
                      type="button"
                      class="link"
                      aria-expanded={chosen === task.task_id}
                      onClick={() => setChosen(chosen === task.task_id ? undefined : task.task_id)}
                    >
                      {task.task_id}
                    </button>
                  </th>
                  <td>
                    <span class={`status ${task.state}`}>{task.state}</span>
                  </td>
                  <td class="numeric">{task.attempts}</td>
                  <td class="numeric">{task.latency_ms === null ? "–" : span(task.latency_ms)}</td>
                  <td class="text" dir="auto">
                    {task.prompt}
                  </td>
                  <td class={task.error === null ? "text" : "text failed"} dir="auto">
                    {task.content ?? task.error}
                  </td>
                </tr>
                {chosen === task.task_id && (
                  <tr class="detail">
                    <td colSpan={6}>
                      <OneTask
                        path={path}
                        endpoint={endpoint}
                        id={chosen}
                        open={open}
                        onClose={() => setChosen(undefined)}
                      />
                    </td>
                  </tr>
                )}
              </Fragment>
            ))}
          </tbody>
        </table>
      )}
      <div class="pager">
        <button
          type="button"
          disabled={pages.length === 1}
          onClick={() => setPages(pages.slice(0, -1))}
        >
          Previous
        </button>
        <button
          type="button"
          disabled={value?.next_after == null}
          onClick={() => value?.next_after != null && setPages([...pages, value.next_after])}
        >
          Next
        </button>
      </div>
    </section>
  );
}

/** A page of tasks; where a search finds nothing in a part of a long list, it goes on. */
async function find(
  path: string,
  { state, search, after }: { state: string; search: string; after: number },
  signal: AbortSignal,
): Promise<TaskList> {
  const found: TaskList = { object: "list", data: [], next_after: after };
  do {
    const left = PAGE - found.data.length;
    const query = new URLSearchParams({ limit: String(left), after: String(found.next_after) });
    if (state !== "") query.set("state", state);
    if (search !== "") query.set("search", search);
    const page = await get<TaskList>(`${path}/tasks?${query}`, signal);
    found.data.push(...page.data);
    found.next_after = page.next_after;
  } while (found.next_after !== null && found.data.length < PAGE);
  return found;
}

/** Everything about one task: prompt and answer side by side, and each attempt. */
function OneTask({
  path,
  endpoint,
  id,
  open,
  onClose,
}: {
  path: string;
  endpoint: string;
  id: string;
  open: boolean;
  onClose: () => void;
}) {
  const { value: task, error } = usePolled(
    (signal) => get<WholeTask>(`${path}/tasks/${encodeURIComponent(id)}`, signal),
    [path, id, open],
    () => (open ? 2_000 : undefined),
  );
  const response = task?.outcome?.response;
  const good = response != null && response.status_code < 300;
  const answer = good
    ? readContent(endpoint, response.body)
    : (task?.outcome?.error?.message ?? response?.body);
  return (
    <section class="one" aria-label={`Task ${id}`}>
      <h3>
        {id}{" "}
        <button type="button" class="quiet" onClick={onClose}>
          Close
        </button>
      </h3>
      <Problem text={error} />
      {task !== undefined && (
        <>
          <div class="sides">
            <Side name="Prompt" text={readPrompt(endpoint, task.request)} whole={task.request} />
            <Side
              name={good || answer === undefined ? "Answer" : "Error"}
              text={typeof answer === "string" ? answer : undefined}
              whole={response?.body ?? task.outcome?.error}
            />
          </div>
          <h4>Attempts</h4>
          {task.attempts.length === 0 && <p class="hint">Not called yet.</p>}
          <ol class="attempts">
            {task.attempts.map((attempt) => (
              <li key={attempt.attempt}>
                <span class={`status ${attempt.result}`}>{attempt.result}</span>{" "}
                <time dateTime={attempt.started_at}>
                  {new Date(attempt.started_at).toLocaleTimeString()}
                </time>
                {attempt.upstream !== null && ` · ${attempt.upstream}`}
                {attempt.status_code !== null && ` · ${attempt.status_code}`}
                {attempt.latency_ms !== null && ` · ${span(attempt.latency_ms)}`}
                {attempt.error !== null && ` · ${attempt.error}`}
              </li>
            ))}
          </ol>
          {task.next_attempt_at !== null && (
            <p class="hint">
              Next attempt at {new Date(task.next_attempt_at).toLocaleTimeString()}.
            </p>
          )}
        </>
      )}
    </section>
  );
}

function Side({ name, text, whole }: { name: string; text: string | undefined; whole: unknown }) {
  const [all, setAll] = useState(false);
  const shown = all || text === undefined ? JSON.stringify(whole ?? null, null, 2) : text;
  return (
    <div class="side">
      <h4>
        {name}{" "}
        {text !== undefined && whole !== undefined && (
          <button type="button" class="quiet" aria-pressed={all} onClick={() => setAll(!all)}>
            JSON
          </button>
        )}
      </h4>
      <pre dir="auto">{whole === undefined || whole === null ? "None yet." : shown}</pre>
    </div>
  );
}
