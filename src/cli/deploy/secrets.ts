import { randomBytes } from "node:crypto";
import { z } from "zod";
import { ConfigError, parseConfig } from "../../config.ts";
import { Failure } from "../failure.ts";
import { ask } from "./ask.ts";
import { wrangler } from "./wrangler.ts";

const listed = z.array(z.object({ name: z.string() }));

/** What a deployment sends along, and what the user has to be told. */
export interface NewSecrets {
  values: Record<string, string>;
  /** The key to Muster's own API that was made here. It is shown once, and stored nowhere else. */
  madeKey: string | undefined;
  /** Settings without which nothing can be called. */
  missing: string[];
}

/** The names of the secrets that the deployed Worker has; none before its first deployment. */
export async function deployedSecrets(): Promise<Set<string>> {
  const { code, stdout, stderr } = await wrangler(["secret", "list", "--format", "json"]);
  if (code === 0) return new Set(listed.parse(JSON.parse(stdout)).map(({ name }) => name));
  const said = stdout + stderr;
  if (/\b(10007|10090)\b|not found|does not exist/i.test(said)) return new Set();
  throw new Failure(`Cloudflare did not say which secrets there are:\n\n${said.trim()}`);
}

/**
 * The secrets that this deployment has to bring: those that are neither deployed yet nor among the
 * plain variables. Taken from the environment, else asked for when somebody is there.
 *
 * @param vars the plain variables of wrangler.toml
 * @throws {Failure} with one line for each wrong value
 */
export async function newSecrets(
  deployed: ReadonlySet<string>,
  vars: Readonly<Record<string, unknown>>,
  interactive: boolean,
): Promise<NewSecrets> {
  const values: Record<string, string> = {};
  const missing: string[] = [];
  const has = (name: string) => deployed.has(name) || name in vars;
  const need = async (name: string, question: Parameters<typeof ask>) => {
    const given = process.env[name]?.trim();
    if (given) values[name] = given;
    else if (has(name)) return;
    else if (interactive) values[name] = await ask(...question);
    else missing.push(name);
  };
  if (!has("UPSTREAMS")) {
    await need("UPSTREAM_BASE_URL", [
      "The API that tasks are sent to: OpenAI's, Anthropic's, or one compatible with them",
      { fallback: "https://api.openai.com/v1" },
    ]);
    await need("UPSTREAM_API_KEY", ["Its API key (not shown)", { secret: true }]);
    // Not asked for: most have the one that it is without, and Anthropic's own is known by its name.
    const api = process.env.UPSTREAM_API?.trim() || apiOf(values.UPSTREAM_BASE_URL);
    if (api) values.UPSTREAM_API = api;
  }
  let madeKey: string | undefined;
  const given = process.env.MUSTER_API_KEYS?.trim();
  if (given) values.MUSTER_API_KEYS = given;
  else if (!has("MUSTER_API_KEYS")) {
    madeKey = `sk-muster-${randomBytes(32).toString("base64url")}`;
    values.MUSTER_API_KEYS = `default:${madeKey}`;
  }
  const admin = process.env.MUSTER_ADMIN_KEY?.trim();
  if (admin) values.MUSTER_ADMIN_KEY = admin;
  for (const [name, value] of Object.entries(values)) if (value === "") delete values[name];
  check(values);
  return { values, madeKey, missing };
}

/** Which protocol an address speaks, where its name says so. */
function apiOf(baseUrl: string | undefined): string | undefined {
  const host = URL.parse(baseUrl ?? "")?.hostname ?? "";
  return /(^|\.)anthropic\.com$/.test(host) ? "anthropic" : undefined;
}

function check(values: Record<string, string>): void {
  try {
    parseConfig(values);
  } catch (error) {
    if (error instanceof ConfigError) throw new Failure(error.message);
    throw error;
  }
}
