import { exports } from "cloudflare:workers";
import { z } from "zod";
import { type Contract, closed, contractOf, type Schemas } from "../contract.ts";

/** Where SDKs in these tests believe Muster to be. */
export const ORIGIN = "http://muster.test";

/** A contract for the Worker under test; see support/contract.ts. */
export async function workerContract(): Promise<Contract> {
  const send = (...args: Parameters<typeof fetch>) =>
    exports.default.fetch(new Request(...(args as [string, RequestInit])));
  const document: Document = await (await send(`${ORIGIN}/openapi.json`)).json();
  return contractOf(document, zodSchemas(document), () => ORIGIN, send);
}

interface Document {
  components: { schemas: object };
}

/** The schemas of a document, as zod understands them: workerd makes no code at run time, as Ajv does. */
function zodSchemas(document: Document): Schemas {
  const strict = closed(document) as Document;
  const $defs = local(strict.components.schemas);
  return (pointer, value) => {
    const schema = pointer.reduce<unknown>(
      (at, member) => (at as Record<string, unknown>)[member],
      strict,
    );
    const whole = { ...(local(schema) as object), $defs };
    const checked = z.fromJSONSchema(whole as never).safeParse(value);
    return (checked.error?.issues ?? []).map(
      ({ path, message }) => `/${path.map(String).join("/")} ${message}`,
    );
  };
}

/** A schema that finds the others in its own `$defs`. */
function local(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(local);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]: [string, unknown]) => [
      key,
      key === "$ref" && typeof member === "string"
        ? member.replace("#/components/schemas/", "#/$defs/")
        : local(member),
    ]),
  );
}
