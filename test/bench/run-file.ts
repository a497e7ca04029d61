// File of a run: when, where and how it was made, and its reports. The page and its charts are made from it.
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import type { Report } from './report.ts';

export interface Run {
  readonly date: string;
  readonly command: string;
  readonly machine: string;
  readonly node: string;
  readonly minutes: number;
}

export interface RunFile {
  readonly run: Run;
  readonly reports: readonly Report[];
}

/** Of this process, until now. */
export function describeRun(): Run {
  const began = new Date(performance.timeOrigin).toISOString();
  const options = process.argv
    .slice(2)
    .filter((word, index, words) => !isFileOption(word) && !isFileOption(words[index - 1]));
  return {
    date: began.slice(0, 16).replace('T', ' '),
    command: ['npm run bench --', ...options].join(' '),
    machine: `${cpus().length} processors (${cpus()[0]?.model ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GiB`,
    node: process.versions.node,
    minutes: Math.round(performance.now() / 60_000),
  };
}

function isFileOption(word: string | undefined): boolean {
  return word === '--json' || word === '--charts';
}

/** Numbers have five digits that count. */
export function writeRunFile(file: string, content: RunFile): void {
  const short = (_: string, value: unknown) => (typeof value === 'number' ? Number(value.toPrecision(5)) : value);
  writeFileSync(file, `${JSON.stringify(content, short)}\n`);
}

export function readRunFile(file: string): RunFile {
  return JSON.parse(readFileSync(file, 'utf8')) as RunFile;
}
