import { z } from "zod";
import { strict } from "./strict.ts";

/** Files as clients see them. */

/** Bytes of one file at most: the official batch API's limit for an input file. */
export const MAX_FILE_BYTES = 200 * 1024 * 1024;

const MAX_FILENAME = 255;
const FILENAME_TAKES = `1 to ${MAX_FILENAME} characters, none of them NUL`;

/** What a file is called. It is in each list of files, so it is short. */
export const filename = z
  .string()
  .min(1)
  .max(MAX_FILENAME)
  .refine((name) => !name.includes("\0"), FILENAME_TAKES);

/** Why a name is none that a file takes, or undefined for one that is. */
export function wrongFilename(name: string): string | undefined {
  return filename.safeParse(name).success ? undefined : `a filename of ${FILENAME_TAKES}`;
}

/** What files are for here. Of all purposes there are at OpenAI, clients may ask for the list. */
export const filePurpose = z.enum(["batch", "batch_output"]);
export type FilePurpose = z.infer<typeof filePurpose>;

const PURPOSES = [
  ...filePurpose.options,
  "assistants",
  "assistants_output",
  "fine-tune",
  "fine-tune-results",
  "vision",
  "user_data",
  "evals",
] as const;
export const anyPurpose = z.enum(PURPOSES, { error: `one of ${PURPOSES.join(", ")}` });

const EXPIRY_MIN_S = 3_600;
const EXPIRY_MAX_S = 2_592_000;

/** When a file is deleted, counted from its creation: an hour to thirty days. */
export const expiresAfter = strict({
  anchor: z.literal("created_at", { error: "'created_at'" }),
  seconds: z
    .number()
    .int()
    .min(EXPIRY_MIN_S, `a whole number from ${EXPIRY_MIN_S} to ${EXPIRY_MAX_S}`)
    .max(EXPIRY_MAX_S, `a whole number from ${EXPIRY_MIN_S} to ${EXPIRY_MAX_S}`),
}).meta({ id: "ExpiresAfter" });
export type ExpiresAfter = z.infer<typeof expiresAfter>;

export const fileObject = z
  .object({
    id: z.string(),
    object: z.literal("file"),
    bytes: z.number().int(),
    created_at: z.number().int(),
    expires_at: z.number().int().optional(),
    filename: z.string(),
    purpose: filePurpose,
    status: z.literal("processed"),
  })
  .meta({ id: "File" });
export type FileObject = z.infer<typeof fileObject>;

export const fileList = z
  .object({
    object: z.literal("list"),
    data: z.array(fileObject),
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
    has_more: z.boolean(),
  })
  .meta({ id: "FileList" });

export const fileDeleted = z
  .object({ id: z.string(), object: z.literal("file"), deleted: z.literal(true) })
  .meta({ id: "FileDeleted" });
