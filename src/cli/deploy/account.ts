import { z } from "zod";
import { Failure } from "../failure.ts";
import { wrangler } from "./wrangler.ts";

const whoami = z.object({
  loggedIn: z.boolean(),
  accounts: z.array(z.object({ id: z.string(), name: z.string() })).default([]),
});

/**
 * Makes sure that wrangler may speak for a Cloudflare account; logs in when there is somebody to do
 * it. Returns the account's name.
 *
 * @throws {Failure} when it may not, with what to do.
 */
export async function signedIn(interactive: boolean): Promise<string> {
  let who = await ask();
  if (!who.loggedIn && interactive) {
    await wrangler(["login"], { show: true });
    who = await ask();
  }
  if (!who.loggedIn) {
    throw new Failure(
      "Not signed in to Cloudflare. Run npx wrangler login, or set CLOUDFLARE_API_TOKEN to a token made from the template 'Edit Cloudflare Workers' with Queues: Edit added.",
    );
  }
  const chosen = process.env.CLOUDFLARE_ACCOUNT_ID;
  const { accounts } = who;
  const account = accounts.find(({ id }) => id === chosen) ?? accounts[0];
  if (accounts.length > 1 && !chosen && !interactive) {
    const list = accounts.map(({ id, name }) => `  ${id}  ${name}`).join("\n");
    throw new Failure(`Set CLOUDFLARE_ACCOUNT_ID to one of these accounts:\n${list}`);
  }
  return accounts.length === 1 || chosen ? (account?.name ?? "your account") : "your account";
}

async function ask(): Promise<z.infer<typeof whoami>> {
  const { stdout } = await wrangler(["whoami", "--json"]);
  try {
    return whoami.parse(JSON.parse(stdout));
  } catch {
    return { loggedIn: false, accounts: [] };
  }
}
