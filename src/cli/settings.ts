import { resolve } from "node:path";
import { LIMIT_FIELDS } from "../config/fields.ts";
import { type Upstream, upstreamList } from "../config/upstreams.ts";
import { type ApiKey, ConfigError, parseConfig, variables } from "../config.ts";
import { problemOfEnvValue } from "./env-file.ts";

/** The key of a Muster on one machine whose user set none. */
export const LOCAL_API_KEYS = "default:sk-muster-local";
/** Stands for the simulator's address in the check: it has no port before it starts. */
const SIMULATOR_LATER = "http://127.0.0.1/v1";

/** What `npm start` was told, checked. */
export interface Settings {
  /** 0 takes any free one. */
  port: number;
  /** Absolute. */
  stateDir: string;
  apiKeys: ApiKey[];
  /** At least one. With the simulator, `baseUrl` is not its address yet. */
  upstreams: Upstream[];
  /** No upstream was given, so the built-in simulator is the one there is. */
  simulated: boolean;
  webhookAllowPrivate: boolean;
  upstreamAllowPrivate: boolean;
  /** Show all that wrangler says. */
  verbose: boolean;
  /** The Worker's variables and secrets. UPSTREAM_BASE_URL is missing with the simulator. */
  vars: Record<string, string>;
}

/**
 * Reads the settings of a Muster on this machine from environment variables.
 *
 * @throws {ConfigError} with one line a wrong variable, naming it and what it takes.
 */
export function readSettings(env: Readonly<Record<string, string | undefined>>): Settings {
  const vars = localVars(env);
  const problems: string[] = [];
  const port = readPort(env.PORT);
  if (port === undefined) {
    problems.push("PORT takes a port on 127.0.0.1, 1 to 65535, or 0 for any free one.");
  }
  const verbose = readFlag(env.MUSTER_VERBOSE);
  if (verbose === undefined) problems.push("MUSTER_VERBOSE takes 0 or 1.");
  for (const [name, value] of Object.entries(vars)) {
    const problem = problemOfEnvValue(value);
    if (problem !== undefined) problems.push(`${name} takes ${problem}.`);
  }
  const simulated = vars.UPSTREAM_BASE_URL === undefined && vars.UPSTREAMS === undefined;
  try {
    const config = parseConfig(simulated ? { ...vars, UPSTREAM_BASE_URL: SIMULATOR_LATER } : vars);
    const { upstreams, apiKeys, webhookAllowPrivate, upstreamAllowPrivate } = config;
    // Nothing limits connections here, so one invocation holds all calls in flight.
    vars.CONSUMER_LANES ??= String(mostCalls(upstreams));
    vars.CONSUMER_STREAM_LANES ??= vars.CONSUMER_LANES;
    // The platform's budget of subrequests is not counted here.
    vars.CONSUMER_SUBREQUESTS ??= "1000000000";
    // The local queue waits for one delivery to be over before the next one.
    vars.CONSUMER_BACKGROUND ??= "1";
    if (problems.length === 0 && port !== undefined && verbose !== undefined) {
      const stateDir = resolve(env.MUSTER_STATE_DIR?.trim() || ".wrangler/state");
      return {
        port,
        stateDir,
        apiKeys,
        upstreams,
        simulated,
        webhookAllowPrivate,
        upstreamAllowPrivate,
        verbose,
        vars,
      };
    }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    problems.push(...error.problems);
  }
  throw new ConfigError(problems);
}

/** The Worker's variables that are set, and the key that one machine has by default. */
function localVars(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const vars: Record<string, string> = {};
  for (const name of Object.keys(variables.shape)) {
    const value = env[name]?.trim();
    if (value) vars[name] = value;
  }
  for (const name of secretNames(vars.UPSTREAMS)) {
    const value = env[name]?.trim();
    if (value) vars[name] = value;
  }
  vars.MUSTER_API_KEYS ??= LOCAL_API_KEYS;
  // A model on this machine, or the simulator, is what most who start it here want to call.
  vars.UPSTREAM_ALLOW_PRIVATE ??= "1";
  return vars;
}

/** The variables that UPSTREAMS says its keys are in; none when it is not right. */
function secretNames(upstreams: string | undefined): string[] {
  const read = upstreamList.safeParse(upstreams);
  return (read.data ?? []).flatMap(({ api_key_secret }) => api_key_secret ?? []);
}

/** Calls that may be in flight at all upstreams together, as far as one invocation takes them. */
function mostCalls(upstreams: readonly Upstream[]): number {
  const quotas = upstreams.flatMap((upstream) => upstream.quotas);
  return Math.min(
    LIMIT_FIELDS.maxConcurrency.max,
    quotas.reduce((sum, { limits }) => sum + limits.maxConcurrency, 0),
  );
}

function readPort(text: string | undefined): number | undefined {
  const given = text?.trim() || "8787";
  const port = /^[0-9]{1,5}$/.test(given) ? Number(given) : Number.NaN;
  return port <= 65_535 ? port : undefined;
}

function readFlag(text: string | undefined): boolean | undefined {
  const given = text?.trim() || "0";
  return given === "0" || given === "1" ? given === "1" : undefined;
}
