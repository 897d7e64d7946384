/**
 * Aborts on Ctrl-C, SIGTERM or SIGHUP. Later signals change nothing: stopping takes seconds at most,
 * and one Ctrl-C arrives twice, from the terminal and from npm.
 */
export function onStopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(name, () => controller.abort());
  }
  return controller.signal;
}
