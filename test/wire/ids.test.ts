import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { completionWindow, windowMs } from "../../src/wire/batch.ts";
import {
  batchId,
  customId,
  eventId,
  fileId,
  newBatchId,
  newFileId,
  newHolderId,
  newRequestId,
  outputFileIds,
  outputLineId,
  outputLineStem,
} from "../../src/wire/ids.ts";

const BATCH = `batch_${"0a".repeat(16)}`;
const times = (count: number, make: () => string) => Array.from({ length: count }, make);

describe("new ids", () => {
  test("match their schemas", () => {
    for (const id of times(100, newBatchId)) expect(batchId.parse(id)).toBe(id);
    for (const id of times(100, newFileId)) expect(fileId.parse(id)).toBe(id);
    for (const id of times(100, newHolderId)) expect(id).toMatch(/^[0-9a-f]{32}$/);
    for (const id of times(100, newRequestId)) expect(id).toMatch(/^req_[0-9a-f]{32}$/);
  });

  test("are all different", () => {
    for (const make of [newBatchId, newFileId, newHolderId, newRequestId]) {
      expect(new Set(times(1_000, make)).size).toBe(1_000);
    }
  });
});

describe("batch ids", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["Date"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test("sort by the time they were made", () => {
    const ids = [0, 1, 2, 1_000, 86_400_000, 400 * 86_400_000].map((passedMs) => {
      vi.setSystemTime(Date.UTC(2030, 0, 1) + passedMs);
      return newBatchId();
    });
    expect(ids.toSorted()).toEqual(ids);
  });

  test("made in one millisecond, or while the clock stands still, keep their order", () => {
    vi.setSystemTime(Date.UTC(2032, 0, 1));
    const ids = times(1_000, newBatchId);
    expect(ids.toSorted()).toEqual(ids);
  });
});

describe("id schemas", () => {
  test.each(["", "batch_", BATCH.slice(0, -1), `${BATCH}0`, `${BATCH}\n`, ` ${BATCH}`])(
    "batchId refuses %j",
    (id) => {
      expect(batchId.safeParse(id).success).toBe(false);
    },
  );

  test.each([BATCH.toUpperCase(), `batch-${"0a".repeat(16)}`, `batch_${"0g".repeat(16)}`])(
    "batchId refuses %j",
    (id) => {
      expect(batchId.safeParse(id).success).toBe(false);
    },
  );

  test.each([
    `file_${"0a".repeat(16)}`,
    `file-${"0a".repeat(16)}-input`,
    `file-${"0a".repeat(16)}-output-error`,
    `file-${"0a".repeat(15)}`,
    "file-../../secret",
  ])("fileId refuses %j", (id) => {
    expect(fileId.safeParse(id).success).toBe(false);
  });

  test("customId takes 1 to 512 characters of any well-formed text", () => {
    for (const id of ["a", " ", "x".repeat(512), "日本語", "👩‍👩‍👧", '"\n\0']) {
      expect(customId.safeParse(id).success).toBe(true);
    }
    for (const id of ["", "x".repeat(513), "a\ud800", "\udc00\ud800"]) {
      expect(customId.safeParse(id).success).toBe(false);
    }
  });
});

describe("ids made from a batch's", () => {
  test("name its output and error file, and match fileId", () => {
    const { output, error } = outputFileIds(BATCH);
    expect(output).toBe(`file-${"0a".repeat(16)}-output`);
    expect(error).toBe(`file-${"0a".repeat(16)}-error`);
    expect(fileId.parse(output)).toBe(output);
    expect(fileId.parse(error)).toBe(error);
  });

  test("are the same when made again, and others for another batch", () => {
    const [one, other] = [newBatchId(), newBatchId()];
    expect(outputFileIds(one)).toEqual(outputFileIds(one));
    expect(outputFileIds(one).output).not.toBe(outputFileIds(other).output);
  });

  test("name an event of a type once in each run of each batch", () => {
    const ids = [BATCH, newBatchId()].flatMap((batch) =>
      [1, 2, 11].flatMap((run) =>
        ["batch.completed", "batch.failed"].map((type) => eventId(batch, run, type)),
      ),
    );
    expect(new Set(ids).size).toBe(12);
    expect(eventId(BATCH, 2, "batch.failed")).toBe(eventId(BATCH, 2, "batch.failed"));
  });

  test("name each output line by its task's number", () => {
    expect(outputLineId(BATCH, 0)).toBe(`batch_req_${"0a".repeat(16)}_0`);
    expect(outputLineId(BATCH, 12)).toBe(`batch_req_${"0a".repeat(16)}_12`);
    expect(outputLineId(BATCH, 12)).toBe(`${outputLineStem(BATCH)}12`);
  });

  test.each(["batch.completed", "batch.failed", "batch.expired", "batch.cancelled", "a.b.c"])(
    "name the event %s without a dot, which would end the webhook-id in what is signed",
    (type) => {
      const id = eventId(BATCH, 1, type);
      expect(id).not.toContain(".");
      expect(id).toBe(`evt_${"0a".repeat(16)}_1_${type.replaceAll(".", "_")}`);
    },
  );
});

describe("windowMs", () => {
  test.each([
    ["1m", 60_000],
    ["90m", 5_400_000],
    ["1h", 3_600_000],
    ["24h", 86_400_000],
    ["720h", 2_592_000_000],
    ["7d", 604_800_000],
    ["30d", 2_592_000_000],
    ["43200m", 2_592_000_000],
  ])("of %s is %i", (window, ms) => {
    expect(windowMs(window)).toBe(ms);
    expect(completionWindow.safeParse(window).success).toBe(true);
  });

  test.each([
    "",
    "24",
    "h",
    "0h",
    "00m",
    "01h",
    "-1h",
    "+1h",
    "1.5h",
    "1e1h",
    "30s",
    "1w",
    "24H",
    "24 h",
    " 24h",
    "24h ",
    "24h\n",
    "1h30m",
    "31d",
    "721h",
    "43201m",
    "99999d",
    "100000m",
    "NaNh",
    "1constructor",
    "２４h",
  ])("of %j is undefined, and the schema refuses it", (window) => {
    expect(windowMs(window)).toBeUndefined();
    expect(completionWindow.safeParse(window).success).toBe(false);
  });

  test("is from a minute to 30 days or undefined, for any text", () => {
    const texts = fc.oneof(fc.string(), fc.stringMatching(/^[0-9]{1,6}[mhd]$/));
    fc.assert(
      fc.property(texts, (window) => {
        const ms = windowMs(window);
        if (ms !== undefined) {
          expect(ms).toBeGreaterThanOrEqual(60_000);
          expect(ms).toBeLessThanOrEqual(30 * 86_400_000);
        }
      }),
    );
  });
});
