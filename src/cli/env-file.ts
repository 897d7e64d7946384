/**
 * The env file that wrangler reads settings and secrets from (dotenv 16 with dotenv-expand). Its
 * format has no way to write every text, so a value is quoted by what it contains.
 */

/** Variables as the text of an env file. The values must have no {@link problemOfEnvValue}. */
export function formatEnvFile(vars: Readonly<Record<string, string>>): string {
  return Object.entries(vars)
    .map(([name, value]) => `${name}=${quote(value)}\n`)
    .join("");
}

/** What an env file takes that this value is not, or undefined when it can be written. */
export function problemOfEnvValue(value: string): string | undefined {
  if (/[\r\n\0]/.test(value)) return "one line of text";
  if (quoteMark(value) === undefined) return "no text with # and with each of ' ` \" in it";
  return undefined;
}

/** A dollar sign would begin the name of another variable. */
function quote(value: string): string {
  const mark = quoteMark(value) ?? "'";
  return mark + value.replaceAll("$", "\\$") + mark;
}

/** Without a # a value may hold its own quotation mark; double quotes would read \n as a line. */
function quoteMark(value: string): string | undefined {
  if (!value.includes("#") || !value.includes("'")) return "'";
  if (!value.includes("`")) return "`";
  return value.includes('"') || /\\[nr]/.test(value) ? undefined : '"';
}
