import { createParser, type EventSourceMessage } from "eventsource-parser";
import type { BatchObject } from "../../src/wire/batch.ts";
import { type LiveProgress, type LiveTask, liveProgress, liveTask } from "../../src/wire/live.ts";

/** What came over a batch's event stream, as a client's parser sees it. */
export type Heard =
  | { kind: "status" | "end"; id: string | undefined; batch: BatchObject }
  | { kind: "task"; id: number; task: LiveTask }
  | { kind: "progress"; progress: LiveProgress }
  | { kind: "retry"; ms: number }
  | { kind: "comment"; text: string };

/**
 * Reads an event stream with the parser that people use, each event checked by its schema. Ending
 * the loop early closes the stream.
 */
export async function* eventsOf(response: Response): AsyncGenerator<Heard> {
  if (response.body === null) return;
  const heard: Heard[] = [];
  const parser = createParser({
    onEvent: (message) => heard.push(read(message)),
    onRetry: (ms) => heard.push({ kind: "retry", ms }),
    onComment: (text) => heard.push({ kind: "comment", text }),
    onError: (error) => {
      throw error;
    },
  });
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      parser.feed(decoder.decode(value, { stream: true }));
      yield* heard.splice(0);
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

function read({ event, id, data }: EventSourceMessage): Heard {
  const json: unknown = JSON.parse(data);
  switch (event) {
    case "status":
    case "end":
      return { kind: event, id, batch: json as BatchObject };
    case "task":
      return { kind: "task", id: Number(id), task: liveTask.parse(json) };
    case "progress":
      return { kind: "progress", progress: liveProgress.parse(json) };
    default:
      throw new Error(`an event of no known kind: ${event}`);
  }
}

/** All that is heard, to the stream's end. */
export async function hearAll(response: Response): Promise<Heard[]> {
  const heard: Heard[] = [];
  for await (const one of eventsOf(response)) heard.push(one);
  return heard;
}

/** The tasks among what was heard. */
export function tasksOf(heard: readonly Heard[]): { id: number; task: LiveTask }[] {
  return heard.flatMap((one) => (one.kind === "task" ? [one] : []));
}
