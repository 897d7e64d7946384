import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { unstable_readConfig } from "wrangler";
import { z } from "zod";
import { signedIn } from "./deploy/account.ts";
import { deployedSecrets, type NewSecrets, newSecrets } from "./deploy/secrets.ts";
import { wrangler } from "./deploy/wrangler.ts";
import { Failure, fail } from "./failure.ts";
import { projectDir } from "./workspace.ts";

const deployment = z.object({ type: z.literal("deploy"), targets: z.array(z.string()) });

/**
 * `npm run deploy`: takes a Cloudflare account, new or not, to a working service. `wrangler deploy`
 * makes the queues and the bucket; this brings the secrets, once, and shows the URL and the key.
 * Run again it keeps every secret, key and object there is and only brings new code and settings.
 */
async function main(): Promise<void> {
  const interactive = process.stdin.isTTY === true && process.stdout.isTTY === true;
  console.log(`Deploying Muster to ${await signedIn(interactive)}…`);
  const { vars } = unstable_readConfig({ config: join(projectDir, "wrangler.toml") });
  const secrets = await newSecrets(await deployedSecrets(), vars, interactive);
  try {
    console.log(report(await deploy(secrets.values), secrets));
  } catch (error) {
    if (error instanceof Failure) throw await withKey(error, secrets.madeKey);
    throw error;
  }
}

/** A failure that tells the key that was made, if it was stored before it: nobody tells it again. */
async function withKey(failure: Failure, madeKey: string | undefined): Promise<Failure> {
  if (madeKey === undefined) return failure;
  const stored = await deployedSecrets().catch(() => new Set());
  if (!stored.has("MUSTER_API_KEYS")) return failure;
  return new Failure(
    `${failure.message}\nThe Worker is there already, and its API key, which is shown this once, is ${madeKey}`,
  );
}

/** Deploys, with these secrets. Returns the service's URL. */
async function deploy(values: Record<string, string>): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), "muster-deploy-"));
  try {
    const secretsFile = join(dir, "secrets.json");
    const output = join(dir, "output.ndjson");
    writeFileSync(secretsFile, JSON.stringify(values), { mode: 0o600 });
    // Variables set in Cloudflare's own dashboard are their owner's: --keep-vars.
    const args = ["deploy", "--keep-vars", "--secrets-file", secretsFile];
    const env = { WRANGLER_OUTPUT_FILE_PATH: output };
    const { code } = await wrangler(args, { show: true, env });
    if (code !== 0) {
      throw new Failure(
        [
          "",
          "Not deployed; wrangler's own words are above. What it made so far stays, and npm run deploy goes on from there.",
          "What a new account may lack: R2, to be switched on once at https://dash.cloudflare.com/?to=/:account/r2;",
          "a workers.dev address, to be chosen at https://dash.cloudflare.com/?to=/:account/workers/onboarding.",
        ].join("\n"),
      );
    }
    return urlIn(readFileSync(output, "utf8"));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** The first address in wrangler's account of what it did: one JSON object a line. */
function urlIn(output: string): string {
  for (const line of output.split("\n").filter((text) => text !== "")) {
    const entry = deployment.safeParse(JSON.parse(line));
    const target = entry.data?.targets.find((text) => /^https?:|^[a-z0-9.-]+\.[a-z]+$/i.test(text));
    if (target !== undefined) return target.startsWith("http") ? target : `https://${target}`;
  }
  throw new Failure("\nDeployed, but to no address: set workers_dev or a route in wrangler.toml.");
}

function report(url: string, { madeKey, missing }: NewSecrets): string {
  const lines = [
    "",
    "Muster is deployed.",
    "",
    `  Page       ${url}/`,
    `  Base URL   ${url}/v1`,
    madeKey === undefined
      ? "  API key    as before"
      : `  API key    ${madeKey}\n\nKeep the key: it is shown this once. To have others, give project:key pairs, comma-separated, to npx wrangler secret put MUSTER_API_KEYS.`,
  ];
  for (const name of missing) {
    lines.push(
      "",
      `${name} is not set, so nothing can be called yet: npx wrangler secret put ${name}`,
    );
  }
  lines.push(
    "",
    "A first deployment can take a minute until its address answers. Then see whether all is well:",
    "",
    `  MUSTER_URL=${url} MUSTER_API_KEY=${madeKey ?? "YOUR_KEY"} npx muster doctor`,
  );
  return lines.join("\n");
}

main().catch(fail);
