// Table of docs/clients.md: what each client did in this run. The committed table is the same, or `--write` makes it so.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Outcomes, StepName } from './scenario.ts';

export interface Row {
  readonly client: string;
  readonly version: string;
  readonly server: string;
  readonly outcomes: Outcomes;
}

const file = join(import.meta.dirname, '../../../docs/clients.md');
const columns: readonly StepName[] = [
  ...(['log-in', 'list', 'call', 'step-up', 'stream'] as const),
  ...(['denied', '401', '403', '404', '413', '415', '503', 'outage'] as const),
];
const header = ['client', 'version', 'server', ...columns];

const table = /^\| client \|.*?\n\n/ms;

/**
 * `whole`: the rows are all there are. Otherwise the table has others besides; a row is known by its client and its server.
 * Throws an Error with the lines of this run that are not committed, or with the committed ones that it did not make.
 */
export function compareTable(rows: readonly Row[], { whole, write }: { whole: boolean; write: boolean }): void {
  const text = readFileSync(file, 'utf8');
  const [heading, rule, ...committed] = (table.exec(text)?.[0] ?? '').trimEnd().split('\n');
  const made = rows.map(lineOf);
  const wanted = whole ? made : laidOver(committed, made);
  if (write) {
    const lines = [cells(header), cells(header.map(() => '---')), ...wanted];
    writeFileSync(
      file,
      text.replace(table, () => `${lines.join('\n')}\n\n`),
    );
  } else if (heading !== cells(header) || rule === undefined || committed.join() !== wanted.join()) {
    const others = [
      ...wanted.filter((line) => !committed.includes(line)),
      ...committed.filter((line) => !wanted.includes(line)),
    ];
    throw new Error(
      ['it does not say what this run did; `npm run test:clients -- --write` does:', ...others].join('\n'),
    );
  }
}

function laidOver(committed: readonly string[], made: readonly string[]): string[] {
  const byKey = new Map(made.map((line) => [keyOf(line), line]));
  const known = new Set(committed.map(keyOf));
  return [
    ...committed.map((line) => byKey.get(keyOf(line)) ?? line),
    ...made.filter((line) => !known.has(keyOf(line))),
  ];
}

function keyOf(line: string): string {
  const [, client, , server] = line.split('|');
  return `${client}|${server}`;
}

function lineOf({ client, version, server, outcomes }: Row): string {
  return cells([client, version, server, ...columns.map((column) => outcomes[column])]);
}

function cells(texts: readonly string[]): string {
  return `| ${texts.join(' | ')} |`;
}
