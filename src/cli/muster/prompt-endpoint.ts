import { promptEndpointOf } from "../../config/routes.ts";
import { MESSAGES_MAX_TOKENS } from "../../core/request-line.ts";
import type { UpstreamObject } from "../../wire/upstream.ts";
import type { Api } from "./api.ts";

/** Where prompts go when nobody said. A batch has one endpoint, so the first one's model decides. */
export type PromptEndpoint = (model: string) => Promise<string>;

/** Asks Muster where prompts go, once. When it does not say, the upload will hear why. */
export function askingMuster(api: Pick<Api, "json">, say: (line: string) => void): PromptEndpoint {
  const ask = async (model: string) => {
    const { data } = await api
      .json<{ data: UpstreamObject[] }>("/v1/upstreams")
      .catch(() => ({ data: [] }));
    const endpoint = promptEndpointOf(data, model);
    if (endpoint === "/v1/messages") {
      say(
        `Prompts go to ${endpoint}, where alone ${model} is served; max_tokens is ${MESSAGES_MAX_TOKENS} unless --max-tokens says otherwise.`,
      );
    }
    return endpoint;
  };
  let asked: Promise<string> | undefined;
  return (model) => {
    asked ??= ask(model);
    return asked;
  };
}
