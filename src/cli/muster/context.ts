import type { Api, Place } from "./api.ts";
import { createApi } from "./api.ts";
import { wrong } from "./exit.ts";
import { type Terminal, terminal } from "./terminal.ts";

/** The options that every command has. */
export interface Globals {
  url: string;
  key: string | undefined;
  json: boolean;
  quiet: boolean;
}

/** What a command works with. */
export interface Context {
  api: Api;
  terminal: Terminal;
  signal: AbortSignal;
  /** Print JSON and nothing else on stdout. */
  json: boolean;
}

/** The key of a Muster that runs on this machine with its default settings. */
const LOCAL_KEY = "sk-muster-local";

/**
 * Where to go, out of the options. A base URL with /v1 is taken, too.
 *
 * @throws {Exit} when it is no address.
 */
export function placeOf({ url, key }: Pick<Globals, "url" | "key">): Place {
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? "")) {
    throw wrong(
      `--url (or MUSTER_URL) takes an address such as http://127.0.0.1:8787, not ${url}.`,
    );
  }
  const base = url.replace(/\/+$/, "").replace(/\/v1$/, "");
  const local = /^https?:\/\/(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/.test(base);
  return { url: base, key: key ?? (local ? LOCAL_KEY : "") };
}

/** Everything a command needs. */
export function contextOf(globals: Globals, signal: AbortSignal): Context {
  const shown = terminal(globals.quiet);
  const api = createApi(placeOf(globals), signal, shown.say);
  return { api, terminal: shown, signal, json: globals.json };
}
