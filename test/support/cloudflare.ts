import { once } from "node:events";
import { createServer } from "node:http";

/** A Cloudflare account as the API has it: enough of it for the real `wrangler` to deploy into. */
export interface Account {
  /** The workers.dev subdomain; undefined in an account that is new to Workers. */
  subdomain: string | undefined;
  queues: string[];
  buckets: string[];
  /** Secret values by name. */
  secrets: Record<string, string>;
  /** Plain variables by name, of the latest upload. */
  vars: Record<string, string>;
  /** How often the Worker was uploaded. */
  uploads: number;
  /** Queues that have a consumer. */
  consumed: string[];
  /** The migration tag of the latest upload. */
  migration: string | undefined;
  /** Requests that are refused, as `METHOD path`. */
  refused: RegExp | undefined;
}

/** A fake of Cloudflare's API on 127.0.0.1. */
export interface Cloudflare {
  url: string;
  accountId: string;
  account: Account;
  /** Every request, as `METHOD path`. */
  requests: string[];
  close(): Promise<void>;
}

const ACCOUNT_ID = "0123456789abcdef0123456789abcdef";

interface Answer {
  status?: number;
  result: unknown;
  info?: object;
}

/** Answers for one account, whose token is `token`. */
export async function startCloudflare(token: string): Promise<Cloudflare> {
  const account: Account = {
    subdomain: undefined,
    queues: [],
    buckets: [],
    secrets: {},
    vars: {},
    uploads: 0,
    consumed: [],
    migration: undefined,
    refused: undefined,
  };
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const url = new URL(request.url ?? "/", "http://cloudflare");
      const path = url.pathname.replace(`/accounts/${ACCOUNT_ID}`, "");
      requests.push(`${request.method} ${path}`);
      const known = request.headers.authorization === `Bearer ${token}`;
      const answer = known
        ? answerOf(account, request.method ?? "GET", path, url, Buffer.concat(chunks).toString())
        : failure(401, 10000, "Authentication error");
      response.writeHead(answer.status ?? 200, { "content-type": "application/json" });
      const ok = answer.status === undefined;
      response.end(
        JSON.stringify({
          success: ok,
          errors: ok ? [] : [answer.result],
          messages: [],
          result: ok ? answer.result : null,
          ...(answer.info && { result_info: answer.info }),
        }),
      );
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    accountId: ACCOUNT_ID,
    account,
    requests,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

const failure = (status: number, code: number, message: string): Answer => ({
  status,
  result: { code, message },
});

const ON = { enabled: true, previews_enabled: false };
const NOT_FOUND = failure(404, 10007, "This Worker does not exist on your account.");

function answerOf(account: Account, method: string, path: string, url: URL, body: string): Answer {
  if (account.refused?.test(`${method} ${path}`)) return failure(403, 10042, "Not enabled.");
  const exists = account.uploads > 0;
  const script = {
    id: "muster",
    tag: "tag",
    migration_tag: account.migration,
    deployment_id: `deployment-${account.uploads}`,
    available_on_subdomain: true,
    mutable_pipeline_id: "pipeline",
    startup_time_ms: 5,
  };
  switch (`${method} ${path.replace(/^\/(queues|r2\/buckets)\/.*/, "/$1/*")}`) {
    case "GET /user/tokens/verify":
      return { result: { id: "token", status: "active" } };
    case "GET /user":
      return { result: { id: "user", email: "someone@example.com" } };
    case "GET /accounts":
      return { result: [{ id: ACCOUNT_ID, name: "Test" }], info: onePage(1) };
    case "GET /memberships":
      return { result: [{ id: "1", account: { id: ACCOUNT_ID, name: "Test" } }], info: onePage(1) };
    case "GET /workers/subdomain":
      return account.subdomain === undefined
        ? failure(404, 10007, "No workers.dev subdomain")
        : { result: { subdomain: account.subdomain } };
    case "GET /workers/scripts":
      return { result: exists ? [script] : [] };
    case "GET /workers/services/muster":
      return exists
        ? { result: { id: "muster", default_environment: { environment: "production", script } } }
        : NOT_FOUND;
    case "GET /workers/workers/muster":
      return exists ? { result: { id: "worker", name: "muster", subdomain: ON } } : NOT_FOUND;
    case "GET /workers/scripts/muster/secrets":
      return exists ? { result: secretsOf(account) } : NOT_FOUND;
    case "GET /workers/scripts/muster/subdomain":
    case "POST /workers/scripts/muster/subdomain":
      return { result: ON };
    case "PUT /workers/scripts/muster":
      upload(account, body);
      return { result: script };
    // What an account with a deployed Worker gets instead: a version, then its deployment.
    case "POST /workers/scripts/muster/versions":
      upload(account, body);
      return {
        result: {
          id: `version-${account.uploads}`,
          startup_time_ms: 5,
          resources: { script: { etag: "etag" } },
        },
      };
    case "POST /workers/scripts/muster/deployments":
      return { result: { id: `deployment-${account.uploads}` } };
    case "PATCH /workers/workers/muster":
    case "PATCH /workers/scripts/muster/script-settings":
      return { result: { id: "worker", name: "muster", subdomain: ON } };
    case "GET /queues": {
      const wanted = url.searchParams.get("name");
      const found = account.queues.filter((name) => wanted === null || name === wanted);
      return { result: found.map((name) => queueOf(account, name)), info: onePage(found.length) };
    }
    case "POST /queues": {
      const name = String(JSON.parse(body).queue_name);
      account.queues.push(name);
      return { result: queueOf(account, name) };
    }
    case "GET /queues/*":
      return { result: [] };
    case "POST /queues/*":
    case "PUT /queues/*": {
      const name = decodeURIComponent(path.split("/")[2] ?? "");
      if (!account.consumed.includes(name)) account.consumed.push(name);
      return { result: { queue_name: name, script_name: "muster", settings: {} } };
    }
    case "GET /r2/buckets":
      return { result: { buckets: account.buckets.map((name) => ({ name })) } };
    case "POST /r2/buckets": {
      const name = String(JSON.parse(body).name);
      account.buckets.push(name);
      return { result: { name } };
    }
    case "GET /r2/buckets/*": {
      const name = path.split("/")[3] ?? "";
      return account.buckets.includes(name)
        ? { result: { name } }
        : failure(404, 10006, "The specified bucket does not exist.");
    }
    default:
      return NOT_FOUND;
  }
}

const onePage = (count: number) => ({
  page: 1,
  per_page: 100,
  count,
  total_count: count,
  total_pages: 1,
});

function queueOf(account: Account, name: string): object {
  const consumers = account.consumed.includes(name)
    ? [{ type: "worker", script: "muster", settings: {} }]
    : [];
  return {
    queue_id: name,
    queue_name: name,
    producers: [],
    producers_total_count: 0,
    consumers,
    consumers_total_count: consumers.length,
  };
}

function secretsOf(account: Account): object[] {
  return Object.keys(account.secrets).map((name) => ({ name, type: "secret_text" }));
}

/** Takes variables, secrets and the migration tag out of an upload's `metadata` part. */
function upload(account: Account, body: string): void {
  const text = /name="metadata"\r?\n\r?\n(.*?)\r?\n--/s.exec(body)?.[1] ?? "{}";
  const metadata = JSON.parse(text) as {
    bindings?: { name: string; type: string; text?: string }[];
    migrations?: { new_tag?: string };
  };
  account.uploads += 1;
  account.migration = metadata.migrations?.new_tag ?? account.migration;
  account.vars = {};
  for (const { name, type, text: value = "" } of metadata.bindings ?? []) {
    if (type === "secret_text") account.secrets[name] = value;
    if (type === "plain_text") account.vars[name] = value;
  }
}
