// The table of failure modes: every row names the tests that show it, and they are there.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

const root = join(import.meta.dirname, '../..');
const rows = readFileSync(join(root, 'docs/failure-modes.md'), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| ') && !line.startsWith('| of '));

t.test('every row of the table is a test that exists', (t) => {
  t.ok(rows.length > 30, `${rows.length} rows`);
  for (const row of rows) {
    const tests = [...(row.split('|').at(-2) ?? '').matchAll(/`([^`]+)`/g)].map(([, path]) => path!);
    t.ok(tests.length > 0, `names a test: ${row.slice(0, 60)}`);
    for (const path of tests) t.ok(path.endsWith('.test.ts') && existsSync(join(root, path)), path);
  }
  t.end();
});
