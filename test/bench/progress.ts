import { SingleBar } from "cli-progress";

/** Shows how far one run is. */
export interface Progress {
  update(done: number, total: number): void;
  /** Ends it, with what is to stand there. */
  stop(last: string): void;
}

/** A bar that moves on a terminal; elsewhere one line at the end. */
export function showRun(title: string, stream: NodeJS.WriteStream): Progress {
  if (!stream.isTTY) {
    return { update: () => undefined, stop: (last) => void stream.write(`${title}  ${last}\n`) };
  }
  const bar = new SingleBar({
    stream,
    format: `${title}  {bar}  {value}/{total}`,
    barCompleteChar: "█",
    barIncompleteChar: "░",
    barsize: 24,
    hideCursor: true,
    clearOnComplete: true,
    gracefulExit: false,
  });
  bar.start(1, 0);
  return {
    update: (done, total) => {
      bar.setTotal(total);
      bar.update(done);
    },
    stop: (last) => {
      bar.update(bar.getTotal());
      bar.stop();
      stream.write(`${title}  ${last}\n`);
    },
  };
}
