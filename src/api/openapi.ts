import type { OpenAPIHono } from "@hono/zod-openapi";
import { errorBody } from "../wire/errors.ts";
import type { AppEnv } from "./auth.ts";

/** The security of every /v1 route. */
export const security = [{ apiKey: [] }];

/** The responses every /v1 route may give besides its own. */
export const refusals = {
  400: refusal("Wrong input; `param` names the field."),
  401: refusal("No key, or one that is not known."),
  500: refusal("Muster failed."),
  503: refusal("Muster is not configured."),
};

/** A response in the error shape. */
export function refusal(description: string) {
  return { description, content: { "application/json": { schema: errorBody } } };
}

/** Serves /openapi.json, made from the routes and their schemas. */
export function addDocument(app: OpenAPIHono<AppEnv>): void {
  app.openAPIRegistry.registerComponent("securitySchemes", "apiKey", {
    type: "http",
    scheme: "bearer",
  });
  app.doc31("/openapi.json", (c) => ({
    openapi: "3.1.0",
    info: {
      title: "Muster",
      version: "0.1.0",
      description: "Fans a batch of AI API calls out and musters every result.",
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: new URL(c.req.url).origin }],
  }));
}
