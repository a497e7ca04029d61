// The benchmark with the smallest numbers: each part of the request benchmarks runs, and prints its bounds; the page is made from the file of a run.
import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { RunFile } from '../bench/run-file.ts';

const smallest = [
  ...['--runs', '1', '--rounds', '1', '--requests', '16', '--warmup', '32'],
  ...['--seconds', '1', '--minutes', '0.1', '--no-pinning'],
];
const folder = mkdtempSync(join(tmpdir(), 'portcullis-bench-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function run(script: string, ...args: string[]) {
  return spawnSync(process.execPath, [script, ...args], { encoding: 'utf8', timeout: 900_000 });
}

const bench = (...args: string[]) => run('test/bench/bench.ts', ...args);

test('every part of the request benchmarks has rows, bounds and a chart', { timeout: 960_000 }, () => {
  const file = join(folder, 'run.json');
  const chosen = ['paths', 'calls', 'rules', 'bodies', 'tail', 'tokens', 'peers', 'soak'];
  const { status, stderr } = bench(...chosen, '--json', file, '--charts', folder, ...smallest);
  assert.equal(status, 0, stderr);
  const { reports } = JSON.parse(readFileSync(file, 'utf8')) as RunFile;
  const peers = reports.find(({ part }) => part === 'peers')!;
  // Three are always there; each of the others is measured, or said to be missing.
  const missing = peers.told.match(/is left out/g)?.length ?? 0;
  const compared = /Envoy is not here/.test(peers.told) ? 0 : 1;
  assert.deepEqual(
    reports.map(({ part, rows, checks }) => [part, rows.length, checks.length]),
    [
      ['calls and paths', 4, 3],
      ['rules', 5, 2],
      ['bodies', 15, 4],
      ['tail', 6, 2],
      ['tokens', 6, 1],
      ['peers', 6 - missing, compared],
      ['soak', 6, 5],
    ],
  );
  for (const { part, checks } of reports) {
    for (const { of, measured } of checks) assert.ok(part === 'soak' || measured > 0, `${part}: ${of}`);
  }
  const charts = readdirSync(folder).filter((name) => name.endsWith('.svg'));
  assert.deepEqual(charts.sort(), ['bodies.svg', 'calls.svg', 'peers.svg', 'rules.svg', 'tail.svg', 'tokens.svg']);

  const page = join(folder, 'performance.md');
  copyFileSync('docs/performance.md', page);
  const made = run('test/bench/page.ts', '--page', page, file);
  assert.equal(made.status, 0, made.stderr);
  const text = readFileSync(page, 'utf8');
  for (const { part, rows } of reports) assert.ok(text.includes(`| ${rows[0]!.join(' | ')} |`), `figures of ${part}`);
});

test('a part that there is not, and a number that is none, are said', () => {
  for (const [args, said] of [
    [['peer'], /there is no part peer; there are calls, /],
    [['calls', '--rounds', 'many'], /--rounds takes a number/],
    [['calls', '--rounds', '0.5'], /--rounds takes a number/],
    [['soak', '--minutes', '0'], /--minutes takes a number/],
  ] as const) {
    const { status, stderr } = bench(...args);
    assert.equal(status, 2);
    assert.match(stderr, said);
  }
});
