import fc from "fast-check";

/**
 * Requests that a route might get, from what /openapi.json says of it: mostly nearly right, so that
 * they come far in, with slips and rubbish.
 */

/** A JSON schema, as far as it is looked into. */
export interface Schema {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  items?: Schema;
  minimum?: number;
  maximum?: number;
  minItems?: number;
  format?: string;
}

interface Parameter {
  name: string;
  in: string;
  schema?: Schema;
}

/** A route of the document. */
export interface Operation {
  tags: string[];
  parameters?: Parameter[];
  requestBody?: { content: Record<string, { schema: Schema }> };
}

export interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
}

type Bytes = Uint8Array<ArrayBuffer>;

/** One request. `headers` as a list, as fast-check prints it best. */
export interface Sent {
  method: string;
  path: string;
  headers: [name: string, value: string][];
  body: Bytes | null;
}

/** What goes wrong in texts: empty, long, controls, halves of characters, names of JavaScript's own. */
const oddText = fc.oneof(
  fc.constantFrom(
    ...["", " ", "__proto__", "constructor", "toString", "../..", "%00", "\u0000", "\ud800"],
    ...[
      "\u2028",
      "\ufeff",
      "null",
      "-1",
      "1e999",
      "9007199254740993",
      "' OR 1=1 --",
      "<b>",
      "日本",
    ],
  ),
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.constantFrom(65, 513, 70_000).map((length) => "x".repeat(length)),
);

const oddValue: fc.Arbitrary<unknown> = fc.oneof(
  oddText,
  fc.constantFrom<unknown>(null, true, false, 0, -1, 0.5, 1e21, 2 ** 53, Number.MAX_VALUE, [], {}),
  fc.jsonValue({ maxDepth: 3 }),
);

/** Values that fit by name where any text fits by schema. Nothing that leads off this machine. */
const KNOWN: Record<string, unknown[]> = {
  url: ["http://127.0.0.1:1/hook", "http://[::1]:1/", "ftp://127.0.0.1/", "http://127.0.0.1:0"],
  completion_window: ["24h", "1m", "30d", "0h"],
  model: ["m"],
  mime_type: ["application/jsonl"],
  filename: ["a.jsonl"],
  md5: ["900150983cd24fb0d6963f7d28e17f72"],
};

/** Values by a schema. */
export function valuesOf(document: Document, schema: Schema, name = ""): fc.Arbitrary<unknown> {
  const known = KNOWN[name];
  if (known !== undefined) return fc.constantFrom(...known);
  const inner = (next: Schema, of = name) => valuesOf(document, next, of);
  if (schema.$ref !== undefined) {
    return inner(document.components.schemas[schema.$ref.split("/").at(-1) ?? ""] ?? {});
  }
  if ("const" in schema) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  const either = schema.anyOf ?? schema.oneOf;
  if (either !== undefined) return fc.oneof(...either.map((next) => inner(next)));
  if (schema.allOf !== undefined) {
    return fc
      .tuple(...schema.allOf.map((next) => inner(next)))
      .map((parts) => Object.assign({}, ...parts) as unknown);
  }
  const types = Array.isArray(schema.type) ? schema.type : [schema.type];
  return fc.oneof(...types.map((type) => ofType(document, { ...schema, type: type ?? "any" })));
}

function ofType(document: Document, schema: Schema): fc.Arbitrary<unknown> {
  switch (schema.type) {
    case "object": {
      const required = new Set(schema.required);
      const members = Object.entries(schema.properties ?? {}).map(([key, member]) =>
        fc
          .tuple(
            fc.boolean().map((there) => there || required.has(key)),
            valuesOf(document, member, key),
          )
          .map(([there, value]): [string, unknown][] => (there ? [[key, value]] : [])),
      );
      const more =
        schema.additionalProperties === false || schema.properties !== undefined
          ? fc.constant({})
          : fc.dictionary(fc.string({ maxLength: 10 }), memberOf(document, schema), { maxKeys: 3 });
      return fc
        .tuple(more, ...members)
        .map(([rest, ...parts]) => ({ ...rest, ...Object.fromEntries(parts.flat()) }) as unknown);
    }
    case "array":
      return fc.array(valuesOf(document, schema.items ?? {}), {
        minLength: schema.minItems ?? 0,
        maxLength: (schema.minItems ?? 0) + 2,
      });
    case "integer":
    case "number":
      return fc.integer({
        min: Math.max(schema.minimum ?? 0, -1e6),
        max: Math.min(schema.maximum ?? 1_000, 1e6 + (schema.minimum ?? 0)),
      });
    case "boolean":
      return fc.boolean();
    case "null":
      return fc.constant(null);
    case "string":
      return fc.string({ minLength: 1, maxLength: 12 });
    default:
      return fc.jsonValue({ maxDepth: 2 });
  }
}

function memberOf(document: Document, { additionalProperties }: Schema): fc.Arbitrary<unknown> {
  return typeof additionalProperties === "object"
    ? valuesOf(document, additionalProperties)
    : fc.jsonValue({ maxDepth: 2 });
}

/** A value with a part of it put another way: a member gone, new, or of another kind. */
function slip(value: unknown): fc.Arbitrary<unknown> {
  if (Array.isArray(value) && value.length > 0) {
    const at = fc.nat(Math.max(0, value.length - 1));
    return fc.oneof(
      oddValue.map((odd) => [...value, odd]),
      fc.constant([...value, ...value]),
      at.chain((index) => slip(value[index]).map((next) => value.with(index, next))),
    );
  }
  const keys = typeof value === "object" && value !== null ? Object.keys(value) : [];
  if (keys.length === 0) return oddValue;
  const members = value as Record<string, unknown>;
  return fc.constantFrom(...keys).chain((key) => {
    const { [key]: member, ...rest } = members;
    return fc.oneof(
      fc.constant<unknown>(rest),
      slip(member).map((next) => ({ ...members, [key]: next })),
      oddValue.map((odd) => ({ ...members, [key]: odd })),
      fc.tuple(oddText, oddValue).map(([name, odd]) => ({ ...members, [name]: odd })),
    );
  });
}

const encoder = new TextEncoder();
/** In a buffer of its own, as `fetch` takes it. */
const bytesOf = (text: string): Bytes => new Uint8Array(encoder.encode(text));

/** Bytes that were sound: cut, doubled, with some in between, or compressed by name only. */
function damaged(bytes: Bytes): fc.Arbitrary<Bytes> {
  const at = fc.nat(bytes.length);
  return fc.oneof(
    at.map((end) => bytes.slice(0, end)),
    fc
      .tuple(at, fc.uint8Array({ maxLength: 4 }))
      .map(
        ([place, more]) =>
          new Uint8Array([...bytes.slice(0, place), ...more, ...bytes.slice(place)]),
      ),
    fc.constant(new Uint8Array([0xef, 0xbb, 0xbf, ...bytes])),
    fc.constant(bytesOf("[".repeat(50_000))),
  );
}

function jsonBody(document: Document, schema: Schema): fc.Arbitrary<Bytes> {
  const value = valuesOf(document, schema);
  const encoded = (from: fc.Arbitrary<unknown>) =>
    from.map((json) => bytesOf(JSON.stringify(json)));
  return fc.oneof(
    { weight: 3, arbitrary: encoded(value) },
    { weight: 4, arbitrary: encoded(value.chain(slip)) },
    { weight: 1, arbitrary: encoded(value.chain(slip).chain(slip)) },
    { weight: 1, arbitrary: encoded(oddValue) },
    { weight: 1, arbitrary: encoded(value).chain(damaged) },
  );
}

const BOUNDARY = "rubbish";

function formBody(names: readonly string[]): fc.Arbitrary<Bytes> {
  const name = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...names) },
    { weight: 1, arbitrary: oddText },
  );
  const content = fc.oneof(
    fc.constantFrom("batch", "created_at", "3600", '{"custom_id":"a"}\n'),
    oddText,
  );
  const part = fc
    .tuple(name, content, fc.constantFrom("", '; filename="a.jsonl"', "; filename*=x", ';name="'))
    .map(
      ([of, text, more]) =>
        `--${BOUNDARY}\r\ncontent-disposition: form-data; name="${of}"${more}\r\n\r\n${text}\r\n`,
    );
  const whole = fc
    .array(part, { maxLength: 5 })
    .map((parts) => bytesOf(`${parts.join("")}--${BOUNDARY}--\r\n`) as Bytes);
  return fc.oneof({ weight: 4, arbitrary: whole }, { weight: 1, arbitrary: whole.chain(damaged) });
}

/** Header values: visible ASCII, as fetch sends nothing else. */
const header = fc.oneof(
  fc.constantFrom(
    "*",
    "",
    "a, b",
    ";;;",
    '"',
    'W/"x"',
    "0",
    "-1",
    "wait=0",
    "wait=-1",
    "x".repeat(300),
  ),
  fc.string({ maxLength: 20 }).map((text) => text.replaceAll(/[^\x20-\x7e]/g, "?")),
);
/** How many of the following come rarely: with them hardly a request gets further. */
const RARE = 3;
/** What a route might look at. No `Prefer` that waits. */
const HEADERS: Record<string, string[]> = {
  authorization: ["Bearer", "Basic eDp5"],
  "x-api-key": ["sk-no"],
  "content-encoding": ["gzip", "br", "identity"],
  accept: ["application/json", "application/jsonl", "text/csv", "text/event-stream", "*/*;q=0"],
  "idempotency-key": ["again", "again too"],
  "if-none-match": ["*"],
  "last-event-id": ["0", "1.2", "9007199254740993"],
  prefer: ["wait=0"],
  "anthropic-version": ["2023-06-01", "1999"],
  "anthropic-beta": ["x"],
  "x-stainless-retry-count": ["1"],
  range: ["bytes=0-1", "bytes=-"],
};

const METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"];

/** What the ids of things begin with, by the part of a path they stand behind. */
const BEGINNINGS: Record<string, string> = {
  batches: "batch_",
  messages: "msgbatch_",
  tasks: "task-",
  files: "file-",
  uploads: "upload_",
  webhook_endpoints: "whe_",
  projects: "proj_",
  api_keys: "key_",
};

const isWellFormed = (text: string) => text.isWellFormed();

/**
 * Requests for one route.
 *
 * @param ids names of things there are, for its path's parameters; mostly they are taken.
 */
export function requestOf(
  document: Document,
  path: string,
  method: string,
  ids: readonly string[],
): fc.Arbitrary<Sent> {
  const operation = document.paths[path]?.[method] ?? { tags: [] };
  const idBehind = (before: string) => {
    const begin = BEGINNINGS[path.includes("/messages/") ? "messages" : before] ?? "";
    const fitting = ids.filter((one) => one.startsWith(begin));
    return fc.oneof(
      { weight: 9, arbitrary: fc.constantFrom(...(fitting.length > 0 ? fitting : ids)) },
      { weight: 1, arbitrary: fc.constantFrom(...ids) },
      { weight: 1, arbitrary: fc.constantFrom(...ids).map((whole) => whole.slice(0, -1)) },
      { weight: 1, arbitrary: oddText.filter(({ length }) => length < 1_000).filter(isWellFormed) },
    );
  };
  const parts = path
    .split("/")
    .map((part, index, all) =>
      part.includes("{")
        ? idBehind(all[index - 1] ?? "").map((text) => encodeURIComponent(text) || "-")
        : fc.constant(part),
    );
  const query = (operation.parameters ?? [])
    .filter((parameter) => parameter.in === "query")
    .map(({ name, schema }) =>
      fc
        .oneof(valuesOf(document, schema ?? {}, name), oddText, fc.constantFrom<unknown>(...ids))
        .map((value) => `${name}=${encode(String(value))}`),
    );
  const queries = fc
    .tuple(fc.subarray(query.map((_, index) => index)), fc.tuple(...query), fc.nat(9))
    .map(([there, all, more]) => [
      ...there.map((index) => all[index]),
      ...(more === 0 ? ["a[]=%"] : []),
    ])
    .map((pairs) => (pairs.length === 0 ? "" : `?${pairs.join("&")}`));
  const headers = fc
    .oneof(
      { weight: 4, arbitrary: fc.constant([]) },
      { weight: 6, arbitrary: fc.subarray(Object.keys(HEADERS).slice(RARE), { maxLength: 3 }) },
      { weight: 1, arbitrary: fc.subarray(Object.keys(HEADERS), { maxLength: 3 }) },
    )
    .chain((names) =>
      fc.tuple(
        ...names.map((name) =>
          fc
            .oneof(fc.constantFrom(...(HEADERS[name] ?? [""])), header)
            .map((value): [string, string] => [name, value]),
        ),
      ),
    );
  return fc
    .record({
      method: fc.oneof(
        { weight: 12, arbitrary: fc.constant(method.toUpperCase()) },
        { weight: 1, arbitrary: fc.constantFrom(...METHODS) },
      ),
      path: fc.tuple(fc.tuple(...parts), queries).map(([all, search]) => all.join("/") + search),
      headers,
      sent: bodyOf(document, operation),
    })
    .map(({ sent: { type, body }, ...rest }) => {
      const none = rest.method === "GET" || rest.method === "HEAD";
      const typed: [string, string][] = type === "" ? [] : [["content-type", type]];
      return { ...rest, headers: [...rest.headers, ...typed], body: none ? null : body };
    });
}

function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

function bodyOf(
  document: Document,
  { requestBody }: Operation,
): fc.Arbitrary<{ type: string; body: Bytes | null }> {
  const [[type, media] = ["application/json", { schema: {} }]] = Object.entries(
    requestBody?.content ?? {},
  );
  const isForm = type.startsWith("multipart/");
  const body = isForm
    ? formBody(Object.keys(media.schema.properties ?? {}))
    : jsonBody(document, media.schema);
  const right = isForm ? `${type}; boundary=${BOUNDARY}` : type;
  const types = fc.oneof(
    { weight: 6, arbitrary: fc.constant(right) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        ...["", "text/plain", "application/json; charset=utf-16", "multipart/form-data", "/"],
        "multipart/form-data; boundary=",
        `multipart/form-data; boundary=${"x".repeat(300)}`,
        "application/x-www-form-urlencoded",
      ),
    },
  );
  return fc.record({ type: types, body: fc.option(body, { freq: 10 }) });
}
