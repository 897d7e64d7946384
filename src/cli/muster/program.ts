import { Command, Option } from "commander";
import packageJson from "../../../package.json" with { type: "json" };
import { TASK_STATES } from "../../core/task.ts";
import { type BatchObject, batchStatus } from "../../wire/batch.ts";
import { contextOf, type Globals } from "./context.ts";
import { doctor } from "./doctor.ts";
import type { ExitCode } from "./exit.ts";
import { EXIT } from "./exit.ts";
import { pathOf } from "./follow.ts";
import { list, type NewBudget, steer, tasks } from "./look.ts";
import { checkOutput, parseResultFormat, resultFormatOf, writeResults } from "./results.ts";
import { finish, type SubmitOptions, submit } from "./submit.ts";

const EXIT_CODES = `
Exit codes:
  ${EXIT.ok}  all went well, and what was waited for succeeded
  ${EXIT.error}  something else went wrong; the message says what
  ${EXIT.usage}  an argument or the input is wrong; nothing was opened
  ${EXIT.tasksFailed}  the batch completed, and some of its tasks did not succeed
  ${EXIT.notCompleted}  the batch failed validation, expired or was cancelled
  ${EXIT.unreachable}  Muster does not answer
  ${EXIT.unauthorized}  the API key is missing or refused
  130  interrupted by Ctrl-C; a batch that was opened goes on`;

const INPUTS = `
Input:
  .txt           a prompt a line
  .csv           a row a task: its column "prompt", or --template; ids from "custom_id" or "id"
  .jsonl, .json  an object a line: {"prompt": …}, or a body, or {"custom_id", "method", "url", "body"}
  another name   what its first line looks like, or --input

A line of JSON names its task by custom_id, or else by id; both are strings. One without is line-N.

The options --model, --system, --max-tokens, --temperature and --param make bodies. A line that is a
whole request (with url and body) goes as it stands.`;

const EXAMPLES = `
Examples:
  muster submit prompts.txt --model gpt-4o-mini --wait --out answers.csv
  muster submit requests.jsonl
  muster submit people.csv --template "Greet {{name}} in {{language}}." --model gpt-4o-mini
  cat prompts.txt | muster submit - --model gpt-4o-mini --out - > answers.jsonl`;

const ID = "a batch's id; muster ls lists them";

/** The command line `muster`. `done` gets the exit code of the command that ran. */
export function createProgram(signal: AbortSignal, done: (code: ExitCode) => void): Command {
  const program = new Command("muster")
    .description("Send thousands of AI API calls as one batch, and get every result.")
    .version(packageJson.version, "-V, --version", "print the version")
    .addOption(
      new Option("--url <url>", "where Muster is")
        .env("MUSTER_URL")
        .default("http://127.0.0.1:8787"),
    )
    .addOption(
      new Option("--key <key>", "API key; a Muster on this machine needs none by default").env(
        "MUSTER_API_KEY",
      ),
    )
    .option("--json", "print JSON", false)
    .option("-q, --quiet", "print results and errors only", false)
    .showHelpAfterError("(muster --help says more)")
    .configureHelp({ showGlobalOptions: true })
    .addHelpText("after", `${EXAMPLES}\n${EXIT_CODES}`);
  const context = () => contextOf(program.opts<Globals>(), signal);
  const collect = (value: string, before: string[] = []) => [...before, value];

  program
    .command("submit")
    .description("open a batch from a file, or from stdin (-)")
    .argument("<file>", "JSONL of requests or bodies, CSV, or a prompt a line")
    .option("-m, --model <model>", "the model, where a line names none")
    .option("--system <text>", "a system message for every prompt")
    .option("--template <text>", "for CSV: the prompt, with {{column}} in it")
    .option("--max-tokens <n>", "max_tokens of each request; 1024 for prompts to /v1/messages")
    .option("--temperature <t>", "temperature of each request")
    .option("--param <name=value>", "any other member of each body; may be given often", collect)
    .option(
      "--endpoint <path>",
      "the upstream's endpoint: that of the lines; else /v1/chat/completions, or for prompts /v1/messages where the model is served there alone",
    )
    .option("--input <format>", "jsonl, csv or text, where the name does not say")
    .option("--metadata <name=value>", "metadata of the batch; may be given often", collect)
    .option("--max-concurrency <n>", "at most this many calls at once")
    .option("--priority <n>", "weight beside other batches, 1 to 100")
    .option("--window <time>", "give up after this time, such as 24h")
    .option("--webhook <url>", "told when the batch has ended")
    .option("--dedupe", "call equal requests once")
    .option("--pool", "use all upstreams that serve it at once")
    .option("--max-tokens-total <n>", "stop before more tokens than this are used")
    .option("--max-cost <usd>", "stop before more than this is spent")
    .option("--dry-run", "check every line and estimate; nothing is called")
    .option("-w, --wait", "wait until the batch has ended")
    .option(
      "-o, --out <file>",
      "wait, then write the results there: .jsonl, .json, .csv, .txt, or - for stdout",
    )
    .action(async (file: string, options: SubmitOptions) => {
      const waits = options.wait === true || options.out !== undefined;
      done(await submit(context(), file, { ...options, wait: waits }));
    })
    .addHelpText("after", `${INPUTS}\n${EXAMPLES}`);

  program
    .command("watch")
    .description("follow a batch until it has ended")
    .argument("<id>", ID)
    .option("-o, --out <file>", "then write the results there, - for stdout")
    .action(async (id: string, { out }: { out?: string }) => {
      checkOutput(out);
      done(await finish(context(), id, out));
    });

  program
    .command("results")
    .description("print what a batch has so far, or write it to a file")
    .argument("<id>", ID)
    .option("-o, --out <file>", "a file instead of stdout")
    .option("--format <format>", "jsonl (output lines), json (summary), csv or text")
    .action(async (id: string, options: { out?: string; format?: string }) => {
      const here = context();
      const named = options.format === undefined ? undefined : parseResultFormat(options.format);
      checkOutput(options.out, named);
      const format = named ?? resultFormatOf(options.out) ?? (here.json ? "json" : "jsonl");
      const batch = await here.api.json<BatchObject>(pathOf(id));
      const path = options.out === "-" ? undefined : options.out;
      await writeResults(here, id, batch.endpoint, format, path);
    });

  program
    .command("ls")
    .description("list batches, the newest first")
    .addOption(new Option("--status <status>", "only these").choices(batchStatus.options))
    .option("--search <text>", "a part of the id, the model or the metadata")
    .option("-n, --limit <n>", "at most this many", "20")
    .action(async (options: { status?: string; search?: string; limit: string }) =>
      list(context(), options),
    );

  program
    .command("tasks")
    .description("list a batch's tasks; with a task's id, show all there is to it")
    .argument("<id>", ID)
    .argument("[task]", "a task's id: its custom_id")
    .addOption(new Option("--state <state>", "only these").choices(TASK_STATES))
    .option("--search <text>", "a part of the id, the request or the answer")
    .option("-n, --limit <n>", "at most this many", "50")
    .action(
      async (
        id: string,
        task: string | undefined,
        options: { state?: string; search?: string; limit: string },
      ) => tasks(context(), id, task, options),
    );

  const steering = {
    cancel: "stop a batch; calls in flight finish, finished work is kept",
    pause: "hand out no more tasks until it is resumed",
    resume: "go on after a pause",
    retry: "run what did not succeed again",
  } as const;
  for (const what of ["cancel", "pause", "resume"] as const) {
    program
      .command(what)
      .description(steering[what])
      .argument("<id>", ID)
      .action(async (id: string) => steer(context(), id, what));
  }
  program
    .command("retry")
    .description(steering.retry)
    .argument("<id>", ID)
    .option("--max-tokens-total <n>", "go on up to this many tokens in all runs, or none")
    .option("--max-cost <usd>", "go on up to this cost of all runs, or none")
    .action(async (id: string, budget: NewBudget) => steer(context(), id, "retry", budget));

  program
    .command("doctor")
    .description("check the service, the key and the upstream, and say what to do")
    .option("-m, --model <model>", "the model to call", "gpt-4o-mini")
    .option("--no-call", "do not call the upstream (a call costs a few tokens)")
    .action(async (options: { model: string; call: boolean }) =>
      done(await doctor(context(), options)),
    );
  return program;
}
