import { z } from "zod";
import { nearest } from "../core/nearest.ts";

/**
 * An object that takes the members named and no other. A misspelt setting that were ignored would
 * do harm quietly; OpenAI refuses unknown parameters, too.
 */
export function strict<T extends z.ZodRawShape>(shape: T) {
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code !== "unrecognized_keys") return undefined;
      const [key = ""] = issue.keys;
      const meant = nearest(key, Object.keys(shape));
      return meant === undefined
        ? `it takes ${Object.keys(shape).join(", ")}`
        : `did you mean '${meant}'?`;
    },
  });
}
