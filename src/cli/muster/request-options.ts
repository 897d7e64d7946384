import { oneLine } from "../../core/raw-json.ts";
import { endpoint as endpointSchema } from "../../wire/batch.ts";
import { wrong } from "./exit.ts";
import type { RequestOptions } from "./input.ts";

/** The options of `muster submit` that are about requests, as they were typed. */
export interface GivenOptions {
  model?: string;
  system?: string;
  template?: string;
  endpoint?: string;
  param?: string[];
  maxTokens?: string;
  temperature?: string;
}

/** Of prompts and bodies that name none. */
const DEFAULT_ENDPOINT = "/v1/chat/completions";

/**
 * What every request gets, out of the options.
 *
 * @throws {Exit} naming the option and what it takes.
 */
export function requestOptions(options: GivenOptions): RequestOptions {
  const endpoint = endpointSchema.safeParse(options.endpoint ?? DEFAULT_ENDPOINT);
  if (!endpoint.success) throw wrong(`--endpoint takes ${endpoint.error.issues[0]?.message}.`);
  const members = new Map<string, string>();
  for (const pair of options.param ?? []) {
    const [, name, value = ""] = /^([^=]+)=(.*)$/s.exec(pair) ?? [];
    if (name === undefined) throw wrong(`--param takes name=value, not ${pair}.`);
    members.set(name, jsonOf(value));
  }
  const numbers = { max_tokens: options.maxTokens, temperature: options.temperature };
  for (const [name, text] of Object.entries(numbers)) {
    if (text === undefined) continue;
    const value = number(`--${name.replace("_", "-")}`, text);
    members.set(name, isJson(text) ? text.trim() : `${value}`);
  }
  return {
    endpoint: endpoint.data,
    model: options.model,
    system: options.system,
    template: options.template,
    members,
  };
}

/** @throws {Exit} naming the option when its text is no number. */
export function number(flag: string, text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value))
    throw wrong(`${flag} takes a number, not ${text}.`);
  return value;
}

/** 0.7, true and {"a":1} are JSON, and stay as they were typed; anything else is text. */
function jsonOf(value: string): string {
  return isJson(value) ? oneLine(value) : JSON.stringify(value);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
