import { promptEndpointOf } from "../../config/routes.ts";
import { readGiven } from "../../core/given-line.ts";
import {
  bodyOfPrompt,
  type Members,
  modelOf,
  modelOfPrompt,
  requestLine,
  type Shared,
  withShared,
} from "../../core/request-line.ts";
import type { UpstreamObject } from "../../wire/upstream.ts";

/** What each request gets that does not say so itself. */
export interface Settings {
  model: string;
  system: string;
  maxTokens: string;
  /** For CSV: a prompt with {{column}} in it. */
  template: string;
}

/** What the page looks at of the upstreams, to know where prompts go. */
export type Serving = Pick<UpstreamObject, "api" | "models">;

/** A request line. */
export interface Made {
  text: string;
  id: string;
  endpoint: string;
}

const CHAT = "/v1/chat/completions";

/** Makes the request lines of one batch out of what is in the fields. */
export class RequestMaker {
  readonly #shared: Shared;
  readonly #upstreams: readonly Serving[];
  /** A batch has one endpoint, so the first prompt's model decides where all of them go. */
  #promptEndpoint: string | undefined;

  constructor({ model, system, maxTokens }: Settings, upstreams: readonly Serving[]) {
    const members = new Map<string, string>();
    if (maxTokens.trim() !== "") members.set("max_tokens", `${Number(maxTokens)}`);
    this.#shared = {
      model: model.trim() || undefined,
      system: system.trim() === "" ? undefined : system,
      members,
    };
    this.#upstreams = upstreams;
  }

  /** A prompt, and members of its body alone. */
  ofPrompt(prompt: string, id: string, own?: Members): Made {
    this.#promptEndpoint ??= promptEndpointOf(
      this.#upstreams,
      modelOfPrompt(this.#shared, own) ?? "",
    );
    const endpoint = this.#promptEndpoint;
    const body = bodyOfPrompt(prompt, endpoint, this.#shared, own);
    return { text: requestLine(id, endpoint, body), id, endpoint };
  }

  /** A line of JSON, or what is wrong with it; `otherwise` is its id when it names none. */
  ofJson(text: string, otherwise: string): Made | { fault: string } {
    const given = readGiven(text);
    if ("fault" in given) return given;
    if (given.kind === "request") return { text, id: given.id, endpoint: given.endpoint };
    const id = given.id ?? otherwise;
    if (given.kind === "prompt") {
      return modelOfPrompt(this.#shared, given.members) === undefined
        ? { fault: "names no model." }
        : this.ofPrompt(given.prompt, id, given.members);
    }
    const body = withShared(given.body, { ...this.#shared, members: new Map() });
    if (modelOf(body) === undefined) return { fault: "names no model." };
    return { text: requestLine(id, CHAT, body), id, endpoint: CHAT };
  }
}
