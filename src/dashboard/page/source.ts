import { NotUtf8, Utf8Decoder } from "../../core/utf8.ts";

/** What tasks are made from: what was typed or pasted, or a file with its name. */
export interface Source {
  text: string;
  name: string;
  /** The line of the file that is not UTF-8; nothing of such a file is used. */
  broken?: number;
}

/** A dropped file as a source. Its bytes are UTF-8, or it is broken. */
export function sourceOf(name: string, bytes: Uint8Array): Source {
  const decoder = new Utf8Decoder();
  try {
    const text = decoder.push(bytes);
    decoder.end();
    return { name, text };
  } catch (error) {
    if (error instanceof NotUtf8) return { name, text: "", broken: error.line };
    throw error;
  }
}
