import { readFileSync, writeFileSync } from "node:fs";
import { type Body, type News, type Order, order, request, requestLine } from "./protocol.ts";

/** A peer's program: a promise a call, of the answer's text; rejected when it failed for good. */
export type AskAll = (bodies: readonly Body[]) => Promise<Promise<string>[]>;

/** Runs a peer's program in this process until whoever started it is gone. */
export async function servePeer(start: (order: Order) => Promise<AskAll>): Promise<void> {
  const tell = (said: News) => process.send?.(said);
  process.once("disconnect", () => process.exit());
  const askAll = await start(order.parse(JSON.parse(process.argv[2] ?? "")));
  process.on("message", async (message) => {
    const { file, out } = request.parse(message);
    const lines = readFileSync(file, "utf8").split("\n").slice(0, -1);
    const bodies = lines.map((line) => requestLine.parse(JSON.parse(line)).body);
    const calls = await askAll(bodies);
    void Promise.any(calls).then(
      () => tell({ kind: "first", file }),
      () => undefined,
    );
    const settled = await Promise.allSettled(calls);
    tell({ kind: "done", file });
    const written = settled.map((one, index) => {
      const text = one.status === "fulfilled" ? one.value : null;
      return JSON.stringify({ index, text });
    });
    writeFileSync(out, `${written.join("\n")}\n`);
    tell({ kind: "written", file });
  });
  tell({ kind: "ready" });
}
