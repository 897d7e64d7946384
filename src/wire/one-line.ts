import { z } from "zod";

/** A name that somebody gave to something: text on one line. */
export const oneLine = z
  .string()
  .trim()
  .min(1)
  .max(256)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  .refine((text) => text.isWellFormed() && !/[\u0000-\u001f\u007f]/.test(text), {
    error: "well-formed text on one line, without control characters",
  });
