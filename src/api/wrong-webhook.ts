import type { Config } from "../config.ts";
import { checkTarget } from "../core/target.ts";
import { isSecret } from "../webhooks/sign.ts";
import type { BatchOptions } from "../wire/batch.ts";
import type { Problem } from "../wire/errors.ts";

/** What is wrong with a batch's own webhook: its address or its secret. */
export function wrongWebhook(
  webhook: BatchOptions["webhook"],
  { webhookAllowPrivate }: Pick<Config, "webhookAllowPrivate">,
): Problem | undefined {
  if (webhook === undefined) return undefined;
  const target = checkTarget(webhook.url, { allowPrivate: webhookAllowPrivate });
  if (!target.ok) {
    const message = `webhook.url: ${target.reason}`;
    return { code: "invalid_request", message, param: "webhook.url" };
  }
  if (webhook.secret !== undefined && !isSecret(webhook.secret)) {
    const message = "webhook.secret takes whsec_ and the base64 of 24 to 64 bytes.";
    return { code: "invalid_request", message, param: "webhook.secret" };
  }
  return undefined;
}
