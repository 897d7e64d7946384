import { NotUtf8, Utf8Decoder } from "../../core/utf8.ts";

/** What tasks are made from: what was typed or pasted, or a file with its name. */
export interface Source {
  text: string;
  name: string;
  /** Why the file is no text, and in which line; nothing of such a file is used. */
  broken?: { line: number; message: string };
}

/** A dropped file as a source. Its bytes are text in UTF-8, or it is broken. */
export function sourceOf(name: string, bytes: Uint8Array): Source {
  const decoder = new Utf8Decoder();
  try {
    const text = decoder.push(bytes);
    decoder.end();
    const nul = text.indexOf("\0");
    if (nul === -1) return { name, text };
    const line = text.slice(0, nul).split("\n").length;
    return { name, text: "", broken: { line, message: "Holds NUL bytes, so it is no text." } };
  } catch (error) {
    if (!(error instanceof NotUtf8)) throw error;
    const { line } = error;
    return { name, text: "", broken: { line, message: "Is not UTF-8; save it as UTF-8." } };
  }
}
