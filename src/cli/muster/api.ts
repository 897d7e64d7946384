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

/**
 * Calls Muster. A connection that breaks is tried again where that is safe: for a GET, and for a
 * POST that carries an Idempotency-Key.
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
