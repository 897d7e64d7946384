import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { messageOf, Refused } from "./api.ts";

/** What a page shows of something it keeps asking for. */
export interface Polled<T> {
  value: T | undefined;
  error: string | undefined;
  /** Asks again now. */
  again: () => void;
}

/** A tab that is not looked at asks this seldom. */
const HIDDEN_MS = 15_000;

/**
 * Asks again and again, as long as the view is there; seldom while the tab is hidden. An error
 * keeps what was last known.
 *
 * @param everyMs how long to wait after an answer; undefined for once
 */
export function usePolled<T>(
  load: (signal: AbortSignal) => Promise<T>,
  deps: readonly unknown[],
  everyMs: (value: T) => number | undefined,
): Polled<T> {
  const [value, setValue] = useState<T>();
  const [error, setError] = useState<string>();
  const [turn, setTurn] = useState(0);
  const period = useRef(everyMs);
  period.current = everyMs;

  useEffect(() => {
    const over = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = async () => {
      let nextMs: number | undefined;
      try {
        const found = await load(over.signal);
        if (over.signal.aborted) return;
        setValue(() => found);
        setError(undefined);
        nextMs = period.current(found);
      } catch (failure) {
        if (over.signal.aborted) return;
        setError(messageOf(failure));
        if (failure instanceof Refused && failure.status === 401) {
          dispatchEvent(new Event("muster-key-refused"));
          return;
        }
        // What is not there will not come; anything else may.
        nextMs = failure instanceof Refused && failure.status === 404 ? undefined : 3_000;
      }
      if (nextMs === undefined) return;
      timer = setTimeout(look, document.hidden ? Math.max(nextMs, HIDDEN_MS) : nextMs);
    };
    const woken = () => {
      if (document.hidden || timer === undefined) return;
      clearTimeout(timer);
      timer = undefined;
      void look();
    };
    document.addEventListener("visibilitychange", woken);
    void look();
    return () => {
      over.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", woken);
    };
  }, [...deps, turn]);
  const again = useCallback(() => setTurn((n) => n + 1), []);
  return { value, error, again };
}

/** The part of the address after #, such as `/batches/batch_1`. */
export function useRoute(): string {
  const read = () => location.hash.replace(/^#/, "") || "/";
  const [route, setRoute] = useState(read);
  useEffect(() => {
    const changed = () => setRoute(read());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}

/** A value that follows another one after it has been left alone for a moment. */
export function useSettled<T>(value: T, ms: number): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return settled;
}
