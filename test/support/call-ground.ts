import type { CallGround } from "../../src/consumer/call.ts";
import { Deadlines } from "../../src/consumer/deadlines.ts";
import { Memory } from "../../src/consumer/memory.ts";
import { Slots } from "../../src/consumer/slots.ts";

/** What one call of a test stands on: a connection of its own, and room for any answer. */
export function callGround(): CallGround {
  return {
    slots: new Slots(1),
    deadlines: new Deadlines(),
    held: roomyMemory().open(),
    read: () => undefined,
    nowMs: Date.now,
  };
}

/** More memory than a test needs. */
export function roomyMemory(): Memory {
  return new Memory({ answerBytes: 1e9, bodyChars: 1e9 });
}
