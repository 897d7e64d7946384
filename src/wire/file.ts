import { z } from "zod";

/** Files as clients see them. */

export const filePurpose = z.enum(["batch", "batch_output"]);
export type FilePurpose = z.infer<typeof filePurpose>;

export const fileObject = z
  .object({
    id: z.string(),
    object: z.literal("file"),
    bytes: z.number().int(),
    created_at: z.number().int(),
    expires_at: z.number().int().nullish(),
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
