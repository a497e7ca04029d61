// `node test/bench/page.ts FILE…`: rewrites the figures of docs/performance.md, and its charts, from files of runs.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeCharts } from './charts.ts';
import { isMet, type Report, tableOf } from './report.ts';
import { type RunFile, readRunFile } from './run-file.ts';
import { sizingOf } from './sizing.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { page: { type: 'string', default: 'docs/performance.md' } },
});
const files = positionals.map(readRunFile);
const reports = files.flatMap((file) => file.reports);
const page = readFileSync(values.page, 'utf8');
writeFileSync(
  values.page,
  page.replace(
    /(<!-- figures: (.+) -->\n)[\s\S]*?(?=<!-- end -->)/g,
    (_, mark: string, name: string) =>
      `${mark}\n${figuresOf(name) || `Not in these runs: \`npm run bench -- ${name}\`.`}\n\n`,
  ),
);
writeCharts(reports, join(dirname(values.page), 'images'));

function figuresOf(name: string): string {
  if (name === 'runs') return files.map(toldOf).join('\n');
  if (name === 'bounds') return boundsOf();
  if (name === 'sizing') return sizingOf(reports);
  const report = reports.find(({ part }) => part === name);
  return report === undefined ? '' : `${report.told}.\n\n${tableOf(report.header, report.rows)}`;
}

function toldOf({ run, reports }: RunFile): string {
  const parts = reports.map(({ part }) => part).join(', ');
  return `- ${run.date} UTC, ${run.minutes} min, \`${run.command}\`, on ${run.machine}, Node ${run.node}: ${parts}.`;
}

function boundsOf(): string {
  return tableOf(
    ['part', 'bound', 'measured', 'at most', ''],
    reports.flatMap(({ part, checks }: Report) =>
      checks.map((check) => [
        part,
        check.of,
        check.measured.toFixed(2),
        String(check.atMost),
        isMet(check) ? 'met' : '**not met**',
      ]),
    ),
  );
}
