import { setTimeout as wait } from "node:timers/promises";
import { errorBody } from "../../wire/errors.ts";
import { EXIT, Exit, Refused } from "./exit.ts";

/** Where Muster is, and the key to it. */
export interface Place {
  /** Without `/v1` and without a slash at the end. */
  url: string;
  key: string;
}

/** Muster's API as the command line calls it. */
export interface Api {
  readonly place: Place;
  /** A JSON answer. */
  json<T>(path: string, init?: RequestInit): Promise<T>;
  /** An answer as it comes; refused ones are thrown. */
  open(path: string, init?: RequestInit): Promise<Response>;
}

/** How often a GET is sent again after the connection broke, and how long it is waited between. */
const TRIES = 6;
const FIRST_WAIT_MS = 500;

/** An answer 429 that says how long to wait is waited for, if it is not longer. */
const LONGEST_WAIT_S = 120;

/**
 * Calls Muster. A connection that breaks is tried again where that is safe: for a GET, and for a
 * POST that carries an Idempotency-Key. Too many requests, of which none did anything, are sent again
 * when they may be, however often.
 *
 * @throws {Exit} with the words of the answer, and the exit code that fits.
 */
export function createApi(place: Place, signal: AbortSignal, say: (line: string) => void): Api {
  let reached = false;
  const open = async (path: string, init: RequestInit = {}): Promise<Response> => {
    const headers = new Headers(init.headers);
    headers.set("authorization", `Bearer ${place.key}`);
    const repeatable =
      (init.method ?? "GET") === "GET" || (headers.has("idempotency-key") && !isStream(init.body));
    for (let tries = 1; ; tries += 1) {
      const response = await send(`${place.url}${path}`, { ...init, headers, signal });
      const waitS = response instanceof Response ? askedToWaitS(response) : undefined;
      if (response instanceof Response && waitS !== undefined && !isStream(init.body)) {
        await response.body?.cancel();
        say(`Muster takes no more requests of this key for now; going on in ${waitS} s.`);
        await wait(waitS * 1000, undefined, { signal });
        tries = 0;
        continue;
      }
      if (response instanceof Response && response.status < 502) {
        reached = true;
        return response.ok ? response : refused(response, place);
      }
      signal.throwIfAborted();
      // Where nothing has ever answered, waiting helps nobody.
      if (!reached || !repeatable || tries === TRIES) {
        if (response instanceof Response) return refused(response, place);
        throw new Exit(EXIT.unreachable, unreachable(place, response.why));
      }
      const waitMs = FIRST_WAIT_MS * 2 ** (tries - 1);
      say(`No connection to Muster (${place.url}); trying again in ${waitMs / 1000} s.`);
      await wait(waitMs, undefined, { signal });
    }
  };
  return {
    place,
    open,
    json: async <T>(path: string, init?: RequestInit) =>
      (await (await open(path, init)).json()) as T,
  };
}

/** Seconds that a 429 asks to wait; none for a quota that is not a matter of time. */
function askedToWaitS({ status, headers }: Response): number | undefined {
  const told = headers.get("retry-after");
  if (status !== 429 || told === null || !/^\d+$/.test(told)) return undefined;
  const waitS = Math.max(1, Number(told));
  return waitS <= LONGEST_WAIT_S ? waitS : undefined;
}

function isStream(body: unknown): boolean {
  return typeof body === "object" && body !== null;
}

/** Sends; a connection that fails is an answer like any other. */
async function send(url: string, init: RequestInit): Promise<Response | { why: string }> {
  try {
    return await fetch(url, init);
  } catch (error) {
    const cause = error instanceof Error ? (error.cause ?? error) : error;
    return { why: cause instanceof Error ? cause.message : String(cause) };
  }
}

function unreachable({ url }: Place, why: string): string {
  return `Muster does not answer at ${url}: ${why || "the connection failed"}.\nIs it running (npm start), and is that its address (--url, MUSTER_URL)? npx muster doctor looks further.`;
}

async function refused(response: Response, { url }: Place): Promise<never> {
  const text = await response.text();
  let said = text.slice(0, 500);
  let param: string | null = null;
  try {
    const { error } = errorBody.parse(JSON.parse(text));
    param = error.param;
    // An id is the one that was typed; the message has it.
    const named = param === null || param === "id" || error.message.includes(param);
    said = named ? error.message : `${error.message} (${param})`;
  } catch {
    // Not Muster's words: something else answers there.
    said = `${url} answered ${response.status}, and not as Muster does: ${said}`;
  }
  if (response.status === 401) {
    throw new Exit(EXIT.unauthorized, `${said}\nThe key comes from --key or MUSTER_API_KEY.`);
  }
  throw new Refused(response.status, said, param);
}
