import { z } from "zod";

/** What settings are made of. The messages are the words after "takes" in an error. */

export const text = z.string().trim();

/** An unset variable and an empty one mean the same: the default. */
export const optional = <T extends z.ZodType>(schema: T) =>
  z.preprocess((value) => {
    // wrangler.toml may hold a number or a boolean where text is meant.
    const said = typeof value === "number" || typeof value === "boolean" ? `${value}` : value;
    return typeof said === "string" ? said.trim() || undefined : said;
  }, schema);

/** A whole number written as text. */
export const wholeNumber = ({ takes, min, max }: NumberField) =>
  text
    .regex(/^[0-9]+$/, takes)
    .transform(Number)
    .refine((value) => value >= min && value <= max, takes);

/** A whole number in JSON. */
export const jsonNumber = ({ takes, min, max }: NumberField) =>
  z.int({ error: takes }).min(min, takes).max(max, takes);

/** A setting that is a whole number: what it takes, and its bounds. */
export interface NumberField {
  takes: string;
  min: number;
  max: number;
}

const limit = (takes: string): NumberField => ({ takes, min: 1, max: 1e12 });

/** The numbers of an upstream, in a variable or in UPSTREAMS. */
export const LIMIT_FIELDS = {
  rpm: limit("a whole number of requests a minute, at least 1"),
  tpm: limit("a whole number of tokens a minute, at least 1"),
  burst: limit("a whole number of requests at once, at least 1"),
  maxConcurrency: {
    takes: "a whole number of calls in flight, 1 to 10000",
    min: 1,
    max: 10_000,
  },
  timeoutMs: { takes: "milliseconds for one call, 100 to 600000", min: 100, max: 600_000 },
  idleTimeoutMs: {
    takes: "milliseconds a stream that has begun may be silent, 100 to 600000",
    min: 100,
    max: 600_000,
  },
} satisfies Record<string, NumberField>;

const BASE_URL_TAKES =
  "an http(s) URL without query or fragment, such as https://api.openai.com/v1";

/** The base of an upstream's URLs, without a slash at its end. */
export const baseUrl = z
  .string({ error: BASE_URL_TAKES })
  .trim()
  .transform((value, context) => {
    const url = URL.canParse(value) ? new URL(value) : undefined;
    const usable =
      url !== undefined &&
      /^https?:$/.test(url.protocol) &&
      url.username === "" &&
      url.password === "" &&
      // Not url.search and url.hash: they are "" for a bare "?" or "#", which stay in the href.
      !/[?#]/.test(value);
    if (!usable) {
      context.addIssue({ code: "custom", message: BASE_URL_TAKES });
      return z.NEVER;
    }
    return url.href.replace(/\/+$/, "");
  });

/** The APIs that an upstream may speak, and with them the endpoints it has. */
export const APIS = ["openai", "anthropic"] as const;
export type Api = (typeof APIS)[number];

const APIS_TAKES = `${APIS.join(" or ")}, or both as ${APIS.join(",")}`;

/** Some of {@link APIS}, separated by commas. */
export const apiNames = text.transform((value, context): Api[] => {
  const names = value.split(",").map((name) => name.trim());
  const apis = APIS.filter((api) => names.includes(api));
  if (apis.length === new Set(names).size) return apis;
  context.addIssue({ code: "custom", message: APIS_TAKES });
  return z.NEVER;
});

/** An upstream's key, as it can stand in a header. */
export const upstreamKey = text.regex(
  /^[\x21-\x7e]+$/,
  "the upstream's key, printable and without spaces",
);

/** JSON in a variable: its text, or the value itself, as wrangler.toml may hold it. */
export function jsonText<T extends z.ZodType>(takes: string, schema: T) {
  return z.preprocess((value, context) => {
    if (typeof value !== "string") return value;
    try {
      return JSON.parse(value) as unknown;
    } catch (error) {
      // The message of JSON.parse repeats a part of the text; only its place is told.
      const [, at] = /at position (\d+)/.exec(String(error)) ?? [];
      const where = at === undefined ? "" : ` (it is no JSON at character ${at})`;
      context.addIssue({ code: "custom", message: takes + where });
      return z.NEVER;
    }
  }, schema);
}
