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

/** What is answered before anybody looks whether there is such a route, and when there is none. */
const WITHOUT_ROUTE = [400, 401, 404, 405, 413, 415, 422];
/** Where undocumented routes find the shapes of their refusals. */
const ERROR_SHAPES = /^([A-Z][A-Za-z]*)?Error$/;

/**
 * Checks a value by the schema at a place of the document.
 *
 * @param pointer the members that lead there.
 * @returns what is wrong, nothing for a good value.
 */
export type Schemas = (pointer: readonly string[], value: unknown) => string[];

/**
 * A contract by a document.
 *
 * @param origin what its routes are below, now: it may have another port after a restart.
 * @param send what does the requests.
 */
export function contractOf(
  document: object,
  schemas: Schemas,
  origin: () => string,
  send: typeof fetch = fetch,
): Contract {
  const check = checkerOf(document as Document, schemas);
  const faults: string[] = [];
  const reading: Promise<void>[] = [];
  return {
    async fetch(input, init) {
      const response = await send(input, init);
      const url = new URL(input instanceof Request ? input.url : input);
      if (url.origin !== new URL(origin()).origin) return response;
      const method = (init?.method ?? (input instanceof Request ? input.method : "GET")) || "GET";
      const where = `${method.toUpperCase()} ${url.pathname}${url.search} ${response.status}`;
      const note = (found: readonly string[]) => {
        faults.push(...found.map((fault) => `${where}: ${fault}`));
      };
      const { found, ofBody } = check(method.toUpperCase(), url.pathname, response);
      note(found);
      if (ofBody !== undefined) {
        // A copy is read beside the caller, so that streams stay streams.
        const text = response.clone().text();
        // If it breaks off, or its reader goes away, there is nothing to hold against the document.
        reading.push(
          text.then(
            (all) => note(ofBody(all)),
            () => undefined,
          ),
        );
      }
      return response;
    },
    async faults() {
      await Promise.all(reading);
      return faults;
    },
  };
}

/** What a response's head shows, and what is to be said of its body, if that is to be read. */
interface Checked {
  found: string[];
  ofBody?: (text: string) => string[];
}
type Check = (method: string, path: string, response: Response) => Checked;

function checkerOf(document: Document, against: Schemas): Check {
  const { schemas = {} } = (document as { components?: { schemas?: object } }).components ?? {};
  const errorShapes = Object.keys(schemas).filter((name) => ERROR_SHAPES.test(name));
  const routes = Object.keys(document.paths)
    // A literal path wins over one with parameters.
    .toSorted((a, b) => a.split("{").length - b.split("{").length)
    .map((path) => ({ path, pattern: patternOf(path) }));

  return (given, path, { status, headers }) => {
    // An answer to HEAD is that to GET, but for its body.
    const method = given === "HEAD" ? "GET" : given;
    const found = headers.has("x-request-id") ? [] : ["has no x-request-id"];
    const route = routes.find(({ pattern }) => pattern.test(path))?.path;
    const documented =
      route === undefined ? undefined : document.paths[route]?.[method.toLowerCase()];
    if (route === undefined || documented === undefined) {
      if (!WITHOUT_ROUTE.includes(status)) {
        return { found: [...found, "is the answer of a route that is not documented"] };
      }
      const isShaped = (value: unknown) =>
        errorShapes.some((name) => against(["components", "schemas", name], value).length === 0);
      const ofBody = ofJson((value) => (isShaped(value) ? [] : ["is not in an error shape"]));
      return given === "HEAD" ? { found } : { found, ofBody };
    }
    const answer = documented.responses[status] ?? documented.responses.default;
    if (answer === undefined) return { found: [...found, "is a status that is not documented"] };
    for (const [name, { required }] of Object.entries(answer.headers ?? {})) {
      if (required && !headers.has(name)) found.push(`has no header ${name}`);
    }
    const type = headers.get("content-type")?.split(";")[0]?.trim().toLowerCase() ?? "";
    const documentedAs = answer.content?.[type] === undefined ? "*/*" : type;
    const media = answer.content?.[documentedAs];
    if (media === undefined) {
      const undocumented = [`has an undocumented type '${type}'`];
      if (answer.content !== undefined) return { found: [...found, ...undocumented] };
      return { found, ofBody: (text) => (text === "" ? [] : undocumented) };
    }
    if (given === "HEAD") return { found };
    const key = documented.responses[status] === undefined ? "default" : `${status}`;
    const at = ["paths", route, method.toLowerCase(), "responses", key, "content", documentedAs];
    if (type === "application/json") {
      return { found, ofBody: ofJson((value) => against([...at, "schema"], value)) };
    }
    // Other bytes: the type is all there is to check.
    if (media.schema.contentSchema === undefined) return { found };
    const ofLines = (values: unknown) => against([...at, "schema", "contentSchema"], values);
    return { found, ofBody: (text) => ofJson(ofLines)(asList(type, text)) };
  };
}

/** Lines of JSON, or the data of events, as one list. */
function asList(type: string, text: string): string {
  const lines = text.split("\n").filter(Boolean);
  const values =
    type === "text/event-stream"
      ? lines.flatMap((line) => /^data: (.*)$/.exec(line)?.[1] ?? [])
      : lines;
  return `[${values.join(",")}]`;
}

function ofJson(check: (value: unknown) => string[]): (text: string) => string[] {
  return (text) => {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      return [`is not JSON: ${text.slice(0, 80)}`];
    }
    return check(value);
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

/** A document with schemas that refuse what they do not name, so that no member goes unsaid. */
export function closed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closed);
  if (typeof value !== "object" || value === null) return value;
  const schema: Record<string, unknown> = Object.fromEntries(
    Object.entries(value).map(([key, member]) => [key, closed(member)]),
  );
  if (schema.type === "object" && "properties" in schema) schema.additionalProperties ??= false;
  return schema;
}
