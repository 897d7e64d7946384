/** The API as the page calls it, with the key that its user gave for this tab. */

const KEY = "muster-key";
const NO_CONNECTION = "No connection to Muster. It is tried again by itself.";
const NO_ANSWER = "No answer from Muster, so it may have arrived or not. Try again.";

/** A refusal in the API's own words. */
export class Refused extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** The key of this tab. It is gone when the tab is. */
export const keyOfTab = {
  get: () => sessionStorage.getItem(KEY),
  set: (key: string) => sessionStorage.setItem(KEY, key),
  forget: () => sessionStorage.removeItem(KEY),
};

/** Asks the API. @throws {Refused} with what it said; 401 also forgets the key. */
export async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set("authorization", `Bearer ${keyOfTab.get() ?? ""}`);
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers, cache: "no-store" });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    const isRead = (init.method ?? "GET") === "GET";
    throw new Refused(0, isRead ? NO_CONNECTION : NO_ANSWER);
  }
  if (response.ok) return response;
  throw new Refused(response.status, await wordsOf(response));
}

/** Asks for JSON. The caller knows the shape: it is the same project's. */
export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await (await ask(path, signal ? { signal } : {})).json()) as T;
}

/** Sends JSON, and gets JSON. */
export async function send<T>(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<T> {
  const init: RequestInit = { method, headers };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { ...headers, "content-type": "application/json" };
  }
  return (await (await ask(path, init)).json()) as T;
}

async function wordsOf(response: Response): Promise<string> {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text) as { error: { message: string; param: string | null } };
    return error.message;
  } catch {
    return `Muster answered ${response.status}.`;
  }
}

/** What went wrong, for a person. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
