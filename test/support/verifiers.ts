import OpenAI from "openai";
import { Webhook as StandardWebhook } from "standardwebhooks";
import { Webhook as SvixWebhook } from "svix";

/** One request as a receiver has it. */
export interface Signed {
  body: string;
  headers: Record<string, string>;
}

/** What receivers verify with, unmodified. Each answers the event, or throws. */
export const verifiers: Record<string, (signed: Signed, secret: string) => Promise<unknown>> = {
  openai: async ({ body, headers }, secret) =>
    new OpenAI({ apiKey: "none", webhookSecret: secret }).webhooks.unwrap(body, headers),
  "openai, verifySignature": async ({ body, headers }, secret) => {
    await new OpenAI({ apiKey: "none" }).webhooks.verifySignature(body, headers, secret);
    return JSON.parse(body);
  },
  standardwebhooks: async ({ body, headers }, secret) =>
    new StandardWebhook(secret).verify(body, headers),
  svix: async ({ body, headers }, secret) => {
    new SvixWebhook(secret).verify(body, headers);
    return JSON.parse(body);
  },
};

/** The ways in which a request is not the one that was signed. */
export const tampered: Record<string, (signed: Signed) => Signed> = {
  "another body": ({ body, headers }) => ({ body: body.replace("batch_", "batch_0"), headers }),
  "a body with a space more": ({ body, headers }) => ({ body: `${body} `, headers }),
  "another id": (signed) => changed(signed, "webhook-id", (id) => `${id}0`),
  "another timestamp": (signed) =>
    changed(signed, "webhook-timestamp", (seconds) => String(Number(seconds) - 1)),
  "another signature": (signed) =>
    changed(signed, "webhook-signature", (list) =>
      list.replaceAll(/v1,(.)/g, (_, first) => `v1,${first === "A" ? "B" : "A"}`),
    ),
  "a signature of no version that is known": (signed) =>
    changed(signed, "webhook-signature", (list) => list.replaceAll("v1,", "v9,")),
  "no signature": (signed) => changed(signed, "webhook-signature", () => ""),
};

function changed(
  { body, headers }: Signed,
  name: string,
  change: (value: string) => string,
): Signed {
  return { body, headers: { ...headers, [name]: change(headers[name] ?? "") } };
}
