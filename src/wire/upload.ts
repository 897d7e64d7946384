import { z } from "zod";
import { expiresAfter, filename, fileObject, MAX_FILE_BYTES } from "./file.ts";
import { strict } from "./strict.ts";

/** Uploads in parts, as the official client makes them. */

/** Bytes of one part at most: the official limit. */
export const MAX_PART_BYTES = 64 * 1024 * 1024;
/** Parts of one upload at most: each is read by a subrequest of the one that completes it. */
export const MAX_PARTS = 1_000;
/** An upload that nobody completes is over after this long. */
export const UPLOAD_TTL_MS = 3_600_000;

const BYTES_TAKES = `the file's size, a whole number from 1 to ${MAX_FILE_BYTES}`;

export const newUpload = strict({
  bytes: z.number().int().min(1, BYTES_TAKES).max(MAX_FILE_BYTES, BYTES_TAKES),
  filename,
  mime_type: z.string().min(1).max(255),
  purpose: z.literal("batch", { error: "'batch', and nothing else" }),
  expires_after: expiresAfter.optional(),
}).meta({ id: "CreateUpload" });
export type NewUpload = z.infer<typeof newUpload>;

export const completion = strict({
  part_ids: z
    .array(z.string())
    .min(1)
    .max(MAX_PARTS)
    .meta({ description: "The parts, in the order of the file. Others are left out." }),
  md5: z
    .string()
    .regex(/^[0-9a-f]{32}$/i, "the MD5 of the file's bytes, 32 hexadecimal digits")
    .optional(),
}).meta({ id: "CompleteUpload" });
export type Completion = z.infer<typeof completion>;

const seconds = z.number().int().meta({ description: "Unix seconds." });

export const uploadStatus = z.enum(["pending", "completed", "cancelled", "expired"]);
export type UploadStatus = z.infer<typeof uploadStatus>;

export const uploadObject = z
  .object({
    id: z.string(),
    object: z.literal("upload"),
    bytes: z.number().int(),
    created_at: seconds,
    expires_at: seconds,
    filename: z.string(),
    purpose: z.literal("batch"),
    status: uploadStatus,
    file: fileObject.nullable().meta({ description: "Of a completed upload." }),
  })
  .meta({ id: "Upload" });
export type UploadObject = z.infer<typeof uploadObject>;

export const uploadPart = z
  .object({
    id: z.string(),
    object: z.literal("upload.part"),
    created_at: seconds,
    upload_id: z.string(),
  })
  .meta({ id: "UploadPart" });
