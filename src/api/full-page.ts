import type { Page } from "../project/store.ts";
import { ok, type Result } from "../wire/errors.ts";

/** Ids that are looked at together beyond those of a page, and how often: half a thousand in all. */
const MORE_AT_ONCE = 50;
const MORE_TIMES = 10;

/** A page of what ids of the index stand for. */
export interface FullPage<T> {
  data: T[];
  /** The last id that was passed, listed or not: the next page starts behind it. */
  lastId: string | undefined;
  hasMore: boolean;
}

/**
 * Makes a page of what the index's ids stand for. Some stand for nothing: their batch is not open yet,
 * or not there any more. They are passed over and the page is filled with what comes behind them, as
 * the official clients take an empty page for the end of the list.
 *
 * @param ids so many ids of the index behind one of it, or from the list's cursor on.
 * @param look what an id stands for, if that is to be listed.
 * @returns a page that is full, unless the list ends or very many ids in a row stand for nothing.
 */
export async function fullPage<T>(
  limit: number,
  ids: (behind: string | undefined, count: number) => Promise<Result<Page<string>>>,
  look: (id: string) => Promise<T | undefined>,
): Promise<Result<FullPage<T>>> {
  const data: T[] = [];
  let lastId: string | undefined;
  for (let more = 0; ; more += 1) {
    const page = await ids(lastId, more === 0 ? limit : MORE_AT_ONCE);
    if (!page.ok) return page;
    const looked = await Promise.all(
      page.value.data.map(async (id) => ({ id, found: await look(id) })),
    );
    for (const { id, found } of looked) {
      if (found !== undefined && data.length === limit) return ok({ data, lastId, hasMore: true });
      if (found !== undefined) data.push(found);
      lastId = id;
    }
    const { hasMore } = page.value;
    if (!hasMore || data.length === limit || more === MORE_TIMES) {
      return ok({ data, lastId, hasMore });
    }
  }
}
