import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import formats from "ajv-formats";

/**
 * Holds every response of a conformance run against /openapi.json: a `fetch` for the SDKs and for
 * tests, which lets everything through as it is and notes what the document does not allow.
 */
export interface Contract {
  /** Like the global one; requests to any other server are let through unseen. */
  fetch: typeof fetch;
  /** What was not as documented so far, once all bodies have been read: one line each. */
  faults(): Promise<string[]>;
}

/** An OpenAPI document as far as it is looked into. */
interface Document {
  paths: Record<string, Record<string, { responses: Record<string, Documented> }>>;
}
interface Documented {
  headers?: Record<string, { required?: boolean }>;
  content?: Record<string, { schema: { contentSchema?: object } }>;
}

const NAME = "muster:openapi.json";
/** Where undocumented routes find the shapes of their 404 and 405. */
const ERROR_SHAPES = /^([A-Z][A-Za-z]*)?Error$/;

/**
 * Reads the document of a running Muster.
 *
 * @param origin what its routes are below, now: it may have another port after a restart.
 */
export async function readContract(origin: () => string): Promise<Contract> {
  const response = await fetch(new URL("/openapi.json", origin()));
  return contractOf((await response.json()) as Document & object, origin);
}

/** A contract by a document at hand. */
export function contractOf(document: object, origin: () => string): Contract {
  const check = checkerOf(document as Document);
  const faults: string[] = [];
  const reading: Promise<void>[] = [];
  return {
    async fetch(input, init) {
      const response = await fetch(input, init);
      const url = new URL(input instanceof Request ? input.url : input);
      if (url.origin !== new URL(origin()).origin) return response;
      const method = (init?.method ?? (input instanceof Request ? input.method : "GET")) || "GET";
      // A copy is read beside the caller, so that streams stay streams.
      const copy = response.clone();
      reading.push(
        check(method.toUpperCase(), url.pathname, copy).then(
          (found) => {
            const where = `${method.toUpperCase()} ${url.pathname}${url.search} ${response.status}`;
            faults.push(...found.map((fault) => `${where}: ${fault}`));
          },
          // The body broke off, or its reader went away: nothing to hold against the document.
          () => copy.body?.cancel().catch(() => undefined),
        ),
      );
      return response;
    },
    async faults() {
      await Promise.all(reading);
      return faults;
    },
  };
}

type Check = (method: string, path: string, response: Response) => Promise<string[]>;

function checkerOf(document: Document): Check {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  formats.default(ajv);
  ajv.addSchema(closed(document) as object, NAME);
  const compiled = new Map<string, ValidateFunction>();
  const against = (pointer: readonly string[], value: unknown): string[] => {
    const path = pointer.map((part) =>
      encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1")),
    );
    const $ref = `${NAME}#/${path.join("/")}`;
    const validate = compiled.get($ref) ?? ajv.compile({ $ref });
    compiled.set($ref, validate);
    if (validate(value)) return [];
    return (validate.errors ?? []).map(
      ({ instancePath, message, params }) =>
        `${instancePath || "the body"} ${message} ${JSON.stringify(params)}`,
    );
  };
  const shapes = Object.keys(
    (document as { components?: { schemas?: object } }).components?.schemas ?? {},
  ).filter((name) => ERROR_SHAPES.test(name));
  const routes = Object.keys(document.paths)
    // A literal path wins over one with parameters.
    .toSorted((a, b) => a.split("{").length - b.split("{").length)
    .map((path) => ({ path, pattern: patternOf(path) }));

  return async (method, path, response) => {
    const faults: string[] = [];
    if (response.headers.get("x-request-id") === null) faults.push("has no x-request-id");
    const type = response.headers.get("content-type")?.split(";")[0]?.trim().toLowerCase() ?? "";
    const route = routes.find(({ pattern }) => pattern.test(path))?.path;
    const documented =
      route === undefined ? undefined : document.paths[route]?.[method.toLowerCase()];
    if (route === undefined || documented === undefined) {
      if (response.status !== 404 && response.status !== 405) {
        return [...faults, "is the answer of a route that is not documented"];
      }
      const body: unknown = await response.json();
      const tried = shapes.map((name) => against(["components", "schemas", name], body));
      if (!tried.some((found) => found.length === 0)) faults.push("is not in an error shape");
      return faults;
    }
    const { status } = response;
    const answer = documented.responses[status];
    if (answer === undefined) return [...faults, "is a status that is not documented"];
    for (const [name, { required }] of Object.entries(answer.headers ?? {})) {
      if (required && !response.headers.has(name)) faults.push(`has no header ${name}`);
    }
    const media = answer.content?.[type];
    if (media === undefined) {
      const empty = (await response.text()) === "";
      if (answer.content !== undefined || !empty) faults.push(`has an undocumented type '${type}'`);
      return faults;
    }
    const schema = [
      "paths",
      route,
      method.toLowerCase(),
      "responses",
      `${status}`,
      "content",
      type,
    ];
    if (type === "application/json") {
      faults.push(...against([...schema, "schema"], await response.json()));
    } else if (media.schema.contentSchema !== undefined) {
      const lines = (await response.text()).split("\n").filter((line) => line !== "");
      const texts =
        type === "text/event-stream"
          ? lines.flatMap((line) => /^data: (.*)$/.exec(line)?.[1] ?? [])
          : lines;
      const values = texts.map((text): unknown => JSON.parse(text));
      faults.push(...against([...schema, "schema", "contentSchema"], values));
    } else {
      // Any bytes, or events for as long as somebody listens: the type is all there is to check.
      await response.body?.cancel();
    }
    return faults;
  };
}

function patternOf(path: string): RegExp {
  const parts = path.split("/").map((part) =>
    part
      .split(/(\{[^}]+\})/)
      .map((piece) =>
        piece.startsWith("{") ? "[^/]+" : piece.replace(/[.*+?^$()|[\]\\]/g, "\\$&"),
      )
      .join(""),
  );
  return new RegExp(`^${parts.join("/")}$`);
}

/** The document with schemas that refuse what they do not name, so that no member goes unsaid. */
function closed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closed);
  if (typeof value !== "object" || value === null) return value;
  const schema: Record<string, unknown> = Object.fromEntries(
    Object.entries(value).map(([key, member]) => [key, closed(member)]),
  );
  if (schema.type === "object" && "properties" in schema) schema.additionalProperties ??= false;
  return schema;
}
