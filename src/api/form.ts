import { Busboy, type BusboyHeaders } from "@fastify/busboy";
import { quoted } from "../core/quoted.ts";
import { type Result, refuse } from "../wire/errors.ts";
import { wrongFilename } from "../wire/file.ts";
import { nodeBody } from "./node-body.ts";
import { StorageError, type StoredObject, storeObject } from "./store-object.ts";

/** A form's other fields are short. */
const MAX_FIELD_BYTES = 1024;
/** Beside the file. No form has as many fields, and each part that is read costs some time. */
const MAX_FIELDS = 20;
/** Of a form, everything but its file. */
const MAX_AROUND_BYTES = 1024 * 1024;

/** What a form takes: the name of its one file, how long it may be, and its other fields. */
export interface FormRules {
  file: string;
  maxBytes: number;
  /** What to do about a file that is longer. */
  advice: string;
  fields: readonly string[];
}

/** What a multipart form held. The file's bytes are in R2 already. */
export interface Form {
  fields: Map<string, string>;
  file: StoredObject & { filename: string };
}

/**
 * Reads a multipart form as a stream, its file straight into R2 under `key`, the fields in any order
 * around it. Takes one part's worth of memory, whatever the file's size, and needs no
 * Content-Length. On a refusal nothing is left in R2.
 */
export async function receiveForm(
  request: Request,
  bucket: R2Bucket,
  key: string,
  rules: FormRules,
): Promise<Result<Form>> {
  const type = request.headers.get("content-type") ?? "";
  if (!/^multipart\/form-data\s*;.*boundary=/i.test(type) || request.body === null) {
    const takes = [`a file named '${rules.file}'`, ...rules.fields].join(", ");
    return refuse("unsupported_media_type", `The body takes multipart/form-data with ${takes}.`);
  }
  const fields = new Map<string, string>();
  let file: Form["file"] | undefined;
  let refused: Result<never> | undefined;
  let stored: Promise<void> = Promise.resolve();
  let stopStoring = (_: Error): void => undefined;
  const form = openForm(type);
  if (form === undefined) {
    const takes = "A form's boundary takes 1 to 70 characters, none of them odd (RFC 2046, 5.1.1).";
    return refuse("unsupported_media_type", takes);
  }
  form.on("field", (name, value) => {
    if (rules.fields.includes(name)) fields.set(name, value);
    else if (name === rules.file) refused ??= noFilename(name);
    else refused ??= unknown(name, rules);
  });
  const { stream: body, letGo } = nodeBody(request.body);
  let bytes = 0;
  body.on("data", (chunk: Uint8Array) => {
    bytes += chunk.byteLength;
    if (bytes > rules.maxBytes + MAX_AROUND_BYTES) body.destroy(new TooLong());
  });
  try {
    await new Promise<void>((resolve, reject) => {
      form.on("file", (name, stream, given) => {
        const filename = given || "upload.jsonl";
        const takes = wrongFilename(filename);
        if (name !== rules.file || takes !== undefined) {
          refused ??=
            name === rules.file
              ? refuse("invalid_request", `${name} takes ${takes}.`, name)
              : unknown(name, rules);
          stream.resume();
          return;
        }
        stopStoring = (error) => stream.destroy(error);
        stored = storeObject(stream, bucket, key, rules.maxBytes).then((kept) => {
          if (kept === undefined) refused = tooLarge(rules);
          else file = { filename, ...kept };
        });
        // The form would wait for ever for a file that nobody reads any more.
        stored.catch(reject);
      });
      form.on("filesLimit", () => {
        refused = refuse(
          "invalid_request",
          `The form takes one file, named '${rules.file}'.`,
          rules.file,
        );
      });
      const stop = () => {
        refused ??= tooManyParts(rules);
        body.unpipe(form);
        reject(new Error("there are too many parts"));
      };
      form.on("fieldsLimit", stop);
      form.on("partsLimit", stop);
      form.on("finish", resolve);
      form.on("error", reject);
      body.on("error", reject);
      body.pipe(form);
    });
    await stored;
  } catch (error) {
    const broken = error instanceof Error ? error : new Error(String(error));
    stopStoring(broken);
    const failure = await stored.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    await letGo();
    // That is not the client's fault, so it is no refusal.
    if (failure instanceof StorageError) throw failure;
    await bucket.delete(key);
    if (broken instanceof TooLong) return refused ?? tooLarge(rules);
    const message = `The form broke off or is not valid: ${broken.message}.`;
    return refused ?? refuse("invalid_request", message);
  }
  if (refused === undefined && file !== undefined) return { ok: true, value: { fields, file } };
  await bucket.delete(key);
  return refused ?? noFile(rules);
}

/** A form of which no file is short enough. */
class TooLong extends Error {}

/** Undefined for a boundary that it does not take. */
function openForm(type: string): InstanceType<typeof Busboy> | undefined {
  try {
    return new Busboy({
      headers: { "content-type": type } as BusboyHeaders,
      limits: {
        files: 1,
        fields: MAX_FIELDS,
        parts: MAX_FIELDS + 1,
        fieldSize: MAX_FIELD_BYTES,
      },
    });
  } catch {
    return undefined;
  }
}

function tooManyParts({ file, fields }: FormRules): Result<never> {
  const takes = [file, ...fields].join(", ");
  const message = `The form has more than ${MAX_FIELDS + 1} parts; it takes ${takes}.`;
  return refuse("invalid_request", message, undefined, "too_many_parts");
}

function noFile({ file }: FormRules): Result<never> {
  return refuse(
    "invalid_request",
    `The form has no file part named '${file}'.`,
    file,
    "missing_required_parameter",
  );
}

/** A part is a file by its filename: `curl -F file=@in.jsonl` sends one, `-F file=in.jsonl` does not. */
function noFilename(name: string): Result<never> {
  const message = `${name} takes a file, and this part has no filename (curl: -F ${name}=@requests.jsonl).`;
  return refuse("invalid_request", message, name);
}

function unknown(name: string, { file, fields }: FormRules): Result<never> {
  const takes = [file, ...fields].join(", ");
  return refuse(
    "invalid_request",
    `Unknown parameter: '${quoted(name)}'. The form takes ${takes}.`,
    quoted(name),
    "unknown_parameter",
  );
}

function tooLarge({ file, maxBytes, advice }: FormRules): Result<never> {
  return refuse("too_large", `The file is longer than ${maxBytes} bytes. ${advice}`, file);
}
