/** The longest wait that is granted. */
const MAX_WAIT_S = 30;

/**
 * The `wait` of a `Prefer` header (RFC 7240, 4.3), in seconds and at most 30; undefined without one.
 * A preference that makes no sense is no error: it is not applied.
 */
export function readWait(prefer: string | undefined): number | undefined {
  const seconds = /(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})"?\s*(?=$|[,;])/i.exec(prefer ?? "")?.[1];
  return seconds === undefined ? undefined : Math.min(Number(seconds), MAX_WAIT_S);
}
