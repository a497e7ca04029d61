// Child process with the demo's SQL database: builds the tables, reopens them read-only, answers queries over IPC.
// A running SQLite query can only be stopped by ending its process.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { constants, DatabaseSync, type SQLOutputValue } from 'node:sqlite';
import { messageOf } from '../../errors.ts';
import type { QueryReply, QueryRequest } from './query-engine.ts';
import { refusalOfSql } from './read-only-sql.ts';
import { warehouseTables } from './warehouse.ts';

const maxResultCharacters = 1024 * 1024;

const database = openReadOnly();
process.on('SIGINT', () => {});
process.on('disconnect', () => process.exit(0));
process.on('message', (request: QueryRequest) => process.send?.(answer(request)));

function openReadOnly(): DatabaseSync {
  const directory = mkdtempSync(join(tmpdir(), 'portcullis-demo-'));
  try {
    const path = join(directory, 'warehouse.db');
    fill(path);
    const reader = new DatabaseSync(path, { readOnly: true });
    reader.exec('PRAGMA query_only = ON; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY');
    // Present from Node 24.10.
    if (typeof reader.setAuthorizer === 'function') allowOnlyReading(reader);
    // Reads every page into the cache, because the file is removed below.
    for (const table of warehouseTables()) reader.prepare(`SELECT count(*) FROM ${table.name}`).get();
    return reader;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function fill(path: string): void {
  const writer = new DatabaseSync(path);
  writer.exec('PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN');
  for (const { name, columns, rows } of warehouseTables()) {
    writer.exec(
      `CREATE TABLE ${name} (${columns.map((column) => `${column.name} ${column.type} NOT NULL`).join(', ')})`,
    );
    const insert = writer.prepare(`INSERT INTO ${name} VALUES (${columns.map(() => '?').join(', ')})`);
    for (const row of rows) insert.run(...row);
  }
  writer.exec('COMMIT');
  writer.close();
}

function allowOnlyReading(reader: DatabaseSync): void {
  const allowed = new Set<number>([
    constants.SQLITE_SELECT,
    constants.SQLITE_READ,
    constants.SQLITE_FUNCTION,
    constants.SQLITE_RECURSIVE,
  ]);
  reader.setAuthorizer((action) => (allowed.has(action) ? constants.SQLITE_OK : constants.SQLITE_DENY));
}

function answer(request: QueryRequest): QueryReply {
  try {
    const refusal = refusalOfSql(request.sql);
    if (refusal !== undefined) return { error: refusal };
    return read(request);
  } catch (error) {
    return { error: messageOf(error) };
  }
}

/** Reads rows up to the limit; the rest is not read at all. */
function read({ sql, limit }: QueryRequest): QueryReply {
  const statement = database.prepare(sql);
  statement.setReadBigInts(true);
  const rows: Record<string, string | number | null>[] = [];
  // An expression has no declared type. Its type is that of the first row.
  const columns = () =>
    statement.columns().map(({ name, type }) => ({ name, type: type ?? typeName(rows[0]?.[name] ?? null) }));
  let characters = 0;
  for (const record of statement.iterate()) {
    if (rows.length >= limit || characters > maxResultCharacters) return { columns: columns(), rows, truncated: true };
    const row = Object.fromEntries(Object.entries(record).map(([name, value]) => [name, plain(value)]));
    characters += JSON.stringify(row).length;
    rows.push(row);
  }
  return { columns: columns(), rows, truncated: false };
}

function typeName(value: string | number | null): string {
  if (typeof value === 'number') return Number.isInteger(value) ? 'INTEGER' : 'REAL';
  return 'TEXT';
}

function plain(value: SQLOutputValue): string | number | null {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  return value instanceof Uint8Array ? `<${value.byteLength} bytes>` : value;
}
