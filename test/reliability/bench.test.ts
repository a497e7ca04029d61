// The benchmark with the smallest numbers: each part of the request benchmarks runs, and prints its bounds.
import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

const smallest = [
  '--runs',
  '1',
  '--rounds',
  '1',
  '--requests',
  '16',
  '--warmup',
  '32',
  '--seconds',
  '1',
  '--no-pinning',
];

function bench(...args: string[]) {
  return spawnSync(process.execPath, ['test/bench/bench.ts', ...args], { encoding: 'utf8', timeout: 200_000 });
}

test('every part of the request benchmarks has rows and bounds', { timeout: 240_000 }, () => {
  const { status, stdout, stderr } = bench(
    'paths',
    'calls',
    'rules',
    'bodies',
    'tail',
    'tokens',
    '--json',
    ...smallest,
  );
  assert.equal(status, 0, stderr);
  const reports = JSON.parse(stdout) as { part: string; rows: string[][]; checks: { measured: number }[] }[];
  assert.deepEqual(
    reports.map(({ part, rows, checks }) => [part, rows.length, checks.length]),
    [
      ['calls and paths', 4, 3],
      ['rules', 5, 2],
      ['bodies', 15, 4],
      ['tail', 6, 2],
      ['tokens', 6, 1],
    ],
  );
  for (const { measured } of reports.flatMap(({ checks }) => checks)) assert.ok(measured > 0);
});

test('a part that there is not, and a number that is none, are said', () => {
  for (const [args, said] of [
    [['peer'], /there is no part peer; there are calls, /],
    [['calls', '--rounds', 'many'], /--rounds takes a number/],
  ] as const) {
    const { status, stderr } = bench(...args);
    assert.equal(status, 2);
    assert.match(stderr, said);
  }
});
