import OpenAI from "openai";
import type { Body, Order } from "./protocol.ts";

/** The official client, set as Muster is: the same time for a call, and as many attempts. */
export function clientOf({ baseUrl, timeoutMs }: Order, attempts: number): OpenAI {
  return new OpenAI({
    baseURL: baseUrl,
    apiKey: "sk-peer",
    timeout: timeoutMs,
    maxRetries: attempts - 1,
  });
}

/** Attempts that a call gets in Muster (RETRY_MAX_ATTEMPTS). */
export const ATTEMPTS = 8;

/** One call; the answer's text. */
export async function ask(client: OpenAI, body: Body): Promise<string> {
  const completion = await client.chat.completions.create(body);
  return completion.choices[0]?.message.content ?? "";
}
