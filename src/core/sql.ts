/**
 * The part of an object's SQLite that the stores use, as types of their own: a Durable Object's
 * storage has it, and so has the simulation's database, so both run the same statements.
 */

export type SqlValue = ArrayBuffer | string | number | null;

/** The rows of a statement; reading them once is what a cursor allows. */
export interface Cursor<T> extends Iterable<T> {
  toArray(): T[];
  /** The only row. @throws when there is none, or more than one. */
  one(): T;
}

export interface Sql {
  exec<T extends Record<string, SqlValue>>(query: string, ...bindings: SqlValue[]): Cursor<T>;
}

/** A database with transactions: `DurableObjectStorage`, seen from the stores. */
export interface Database {
  readonly sql: Sql;
  /** Runs `change`; what it throws undoes it all. */
  transactionSync<T>(change: () => T): T;
}
