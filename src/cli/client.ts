import type { BatchObject } from "../wire/batch.ts";
import type { Summary } from "../wire/results.ts";
import { Failure } from "./failure.ts";

/** Muster over HTTP, as a user's program would call it. */
export interface Client {
  createBatch(body: { model: string; prompts: readonly string[] }): Promise<BatchObject>;
  batch(id: string): Promise<BatchObject>;
  results(id: string): Promise<Summary>;
}

/** A client of a Muster; `url` is its base, `…/v1`. A refused request is a {@link Failure}. */
export function createClient(url: string, apiKey: string, signal: AbortSignal): Client {
  const headers = { authorization: `Bearer ${apiKey}`, "content-type": "application/json" };
  const ask = async (path: string, init: RequestInit = {}): Promise<unknown> => {
    const response = await fetch(`${url}${path}`, { ...init, headers, signal });
    const text = await response.text();
    if (response.ok) return JSON.parse(text);
    throw new Failure(
      `${init.method ?? "GET"} /v1${path} was answered ${response.status}: ${text}`,
    );
  };
  return {
    createBatch: async (body) =>
      (await ask("/batches", { method: "POST", body: JSON.stringify(body) })) as BatchObject,
    batch: async (id) => (await ask(`/batches/${id}`)) as BatchObject,
    results: async (id) => (await ask(`/batches/${id}/results`)) as Summary,
  };
}
