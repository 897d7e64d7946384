import { z } from "zod";
import { Failure } from "../failure.ts";
import { ask as question } from "./ask.ts";
import { wrangler } from "./wrangler.ts";

const whoami = z.object({
  loggedIn: z.boolean(),
  accounts: z.array(z.object({ id: z.string(), name: z.string() })).default([]),
});

type Account = z.infer<typeof whoami>["accounts"][number];

/**
 * Makes sure that wrangler may speak for a Cloudflare account; logs in, and asks which one, when there
 * is somebody to do it. Returns the account's name.
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
  const { accounts } = who;
  const given = process.env.CLOUDFLARE_ACCOUNT_ID;
  if (given) return accounts.find(({ id }) => id === given)?.name ?? "your account";
  if (accounts.length < 2) return accounts[0]?.name ?? "your account";
  if (!interactive) {
    const list = accounts.map(({ id, name }) => `  ${id}  ${name}`).join("\n");
    throw new Failure(`Set CLOUDFLARE_ACCOUNT_ID to one of these accounts:\n${list}`);
  }
  const list = accounts.map(({ name, id }, at) => `  ${at + 1}  ${name}  (${id})`).join("\n");
  console.log(`You have several accounts:\n${list}`);
  const account = pick(accounts, await question("Which one, by its number", { fallback: "1" }));
  // Wrangler asks nobody when its output is read, so it is told.
  process.env.CLOUDFLARE_ACCOUNT_ID = account.id;
  return account.name;
}

/**
 * The account that an answer means: its number in the list, from 1, or its id.
 *
 * @throws {Failure} when there is no such account.
 */
export function pick(accounts: readonly Account[], answer: string): Account {
  const account =
    accounts.find(({ id }) => id === answer) ??
    (/^[1-9][0-9]*$/.test(answer) ? accounts[Number(answer) - 1] : undefined);
  if (account !== undefined) return account;
  throw new Failure(`There is no account ${answer}: take a number from 1 to ${accounts.length}.`);
}

async function ask(): Promise<z.infer<typeof whoami>> {
  const { stdout } = await wrangler(["whoami", "--json"]);
  try {
    return whoami.parse(JSON.parse(stdout));
  } catch {
    return { loggedIn: false, accounts: [] };
  }
}
