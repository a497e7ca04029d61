// References of the metrics and of the error codes: names from the source, advice from the tables of docs/operations.md.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { statusOfCode } from '../../../src/errors.ts';
import { declareMetrics } from '../../../src/metrics/declarations.ts';
import { table } from './markdown.ts';

export interface Metric {
  readonly name: string;
  readonly type: string;
  readonly labels: readonly string[];
  readonly help: string;
  /** When to be alarmed; empty where docs/operations.md has no advice. */
  readonly alert: string;
}

export function metrics(root: string): Metric[] {
  const advice = rowsOf(root, '## Metrics worth an alert');
  const registry = new Registry();
  declareMetrics(registry, false);
  // prom-client keeps the names of the labels on the metric and has no accessor for them.
  const declared = registry.getMetricsAsArray() as unknown as (Omit<Metric, 'labels' | 'alert'> & {
    labelNames: string[];
  })[];
  return declared.map(({ name, type, help, labelNames }) => ({
    name,
    type,
    help,
    labels: labelNames,
    alert: advice
      .filter(([names]) => new RegExp(`\`${name}[\`{]`).test(names!))
      .map(([, when]) => when)
      .join(' '),
  }));
}

export function metricsPage(root: string): string {
  const rows = metrics(root)
    .sort((one, other) => (one.name < other.name ? -1 : 1))
    .map(({ name, type, labels, help, alert }) => [
      `\`${name}\``,
      type,
      labels.map((label) => `\`${label}\``).join(', '),
      help,
      alert,
    ]);
  return [
    '# Metrics',
    'What `/metrics` of the admin listener has of the gateway itself. With workers it also has `portcullis_worker_up` and `portcullis_worker_ends_total`, and of each process what prom-client knows of Node. Values of labels come from the configuration or from closed lists.',
    table(['metric', 'type', 'labels', 'meaning', 'alert when'], rows),
  ].join('\n\n');
}

export interface Code {
  readonly code: string;
  readonly status: number;
  /** Usual causes and remedies, each of one row of docs/operations.md. */
  readonly advice: readonly string[];
}

export function codes(root: string): Code[] {
  const rows = rowsOf(root, '## Answers and what to do');
  return Object.entries(statusOfCode).map(([code, status]) => ({
    code,
    status,
    advice: rows
      .filter(([names]) => names!.includes(`\`${code}\``))
      .map(([names, , advice]) => qualified(names!, advice!)),
  }));
}

export function codesPage(root: string): string {
  const rows = codes(root).map(({ code, status, advice }) => [`\`${code}\``, String(status), advice.join(' ')]);
  return [
    '# Error codes',
    'Stable: clients, alerts and audits may rely on these words. A refusal on an MCP route is a JSON-RPC error whose `data.code` is the code; elsewhere it is a problem document (RFC 9457) with `code`. More in [Answers and what to do](../operations.md#answers-and-what-to-do).',
    table(['code', 'status', 'usual cause, and what to do'], rows),
  ].join('\n\n');
}

/** What stands behind the code in the first cell says which of its cases the row is about. */
function qualified(names: string, advice: string): string {
  const [, condition] = /^`\w+` ((?:with|that) .+)$/.exec(names) ?? [];
  return condition === undefined ? advice : `${condition[0]!.toUpperCase()}${condition.slice(1)}: ${advice}`;
}

/** The rows of the first table below a heading. Links become those of a page in `reference`. */
function rowsOf(root: string, heading: string): string[][] {
  const page = readFileSync(join(root, 'docs/operations.md'), 'utf8');
  const section = page.slice(page.indexOf(`\n${heading}\n`) + heading.length + 2).split(/^## /m)[0]!;
  return section
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .slice(1)
    .map((line) =>
      line
        .replaceAll('](#', '](../operations.md#')
        .replace(/\]\((?=[\w-]+\.md)/g, '](../')
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll('\\|', '|')),
    );
}
