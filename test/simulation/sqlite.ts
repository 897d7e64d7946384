import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { SQLSchemaMigration } from "durable-utils/sql-migrations";
import type { Cursor, Database, Sql, SqlValue } from "../../src/core/sql.ts";

/** A statement's text, changed before it is run: how a test sabotages the SQL it simulates. */
export type Rewrite = (query: string) => string;

/** One generation's way to its object's storage. After {@link Handle.kill} every use of it throws. */
export interface Handle extends Database {
  kill(): void;
}

/** An object's SQLite in memory. It outlives the generations of the object that uses it. */
export class SqliteFile {
  readonly #db = new DatabaseSync(":memory:");
  readonly #statements = new Map<string, StatementSync>();
  #depth = 0;
  /** Whether a generation has used it since this was last set to false. */
  touched = true;

  constructor(migrations: readonly SQLSchemaMigration[], more = "") {
    for (const { sql } of migrations) this.#db.exec(sql ?? "");
    if (more !== "") this.#db.exec(more);
  }

  /** Opens it for a generation. */
  open(rewrite: Rewrite = (query) => query): Handle {
    let alive = true;
    const guard = () => {
      if (!alive) throw new Error("an evicted object used its storage");
    };
    const sql: Sql = {
      exec: <T extends Record<string, SqlValue>>(query: string, ...bindings: SqlValue[]) => {
        guard();
        this.touched = true;
        return new Rows(this.rows<T>(rewrite(query), ...bindings));
      },
    };
    return {
      sql,
      transactionSync: (change) => {
        guard();
        return this.#transaction(change);
      },
      kill: () => {
        alive = false;
      },
    };
  }

  /** Runs several statements, as a migration does. */
  script(sql: string): void {
    this.#db.exec(sql);
  }

  /** Runs a statement outside any generation: for looking at what is there. */
  rows<T>(query: string, ...bindings: SqlValue[]): T[] {
    let statement = this.#statements.get(query);
    if (statement === undefined) {
      statement = this.#db.prepare(query);
      this.#statements.set(query, statement);
    }
    const values = bindings.map((value) =>
      value instanceof ArrayBuffer ? new Uint8Array(value) : value,
    );
    return statement.all(...values) as unknown as T[];
  }

  /** Gives its memory back. */
  close(): void {
    this.#statements.clear();
    this.#db.close();
  }

  #transaction<T>(change: () => T): T {
    const name = `nested_${this.#depth}`;
    const outermost = this.#depth === 0;
    this.#db.exec(outermost ? "BEGIN" : `SAVEPOINT ${name}`);
    this.#depth += 1;
    try {
      const result = change();
      this.#db.exec(outermost ? "COMMIT" : `RELEASE ${name}`);
      return result;
    } catch (error) {
      this.#db.exec(outermost ? "ROLLBACK" : `ROLLBACK TO ${name}; RELEASE ${name}`);
      throw error;
    } finally {
      this.#depth -= 1;
    }
  }
}

class Rows<T> implements Cursor<T> {
  readonly #rows: T[];

  constructor(rows: T[]) {
    this.#rows = rows;
  }

  toArray(): T[] {
    return this.#rows;
  }

  one(): T {
    const [row] = this.#rows;
    if (row === undefined || this.#rows.length > 1) {
      throw new Error(`one row was expected, ${this.#rows.length} came`);
    }
    return row;
  }

  [Symbol.iterator](): Iterator<T> {
    return this.#rows[Symbol.iterator]();
  }
}
