// `portcullis audit verify`: what it prints, and its exit code.
import fs from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { auditCommand } from '../../src/cli/audit.ts';
import { configOf, eventOf, fileSink, openLog } from '../audit/support.ts';
import { capture } from './capture.ts';

async function verify(...args: string[]) {
  const output = capture();
  await auditCommand(output).parseAsync(['verify', ...args], { from: 'user' });
  return output;
}

async function audited(directory: string): Promise<string> {
  const path = join(directory, 'audit.jsonl');
  const log = await openLog(configOf([fileSink(path)]));
  for (const id of ['r1', 'r2', 'r3']) await log.write(eventOf(id));
  await log.close();
  return path;
}

t.test('a whole chain is valid: 0', async (t) => {
  const path = await audited(t.testdir({}));
  const plain = await verify(path);
  t.match(plain.text(), /^valid: 3 records in 1 file\(s\), seq 1 to 3\nlast hash: [0-9a-f]{64}\n$/);
  t.equal(plain.exitCode, 0);
  const json = await verify(path, '--json');
  t.match(JSON.parse(json.text()), { valid: true, records: 3, files: [path], lastHash: /^[0-9a-f]{64}$/ });
  t.equal(json.exitCode, 0);
});

t.test('a broken chain is named with file and line: 1', async (t) => {
  const path = await audited(t.testdir({}));
  const lines = fs.readFileSync(path, 'utf8').split('\n');
  fs.writeFileSync(path, [lines[0], lines[2], ''].join('\n'));
  const plain = await verify(path);
  t.match(plain.text(), `BROKEN at ${path}:2: records are missing: seq 3 after seq 1\n1 record(s) hold together\n`);
  t.equal(plain.exitCode, 1);
  const json = await verify('--json', path);
  t.match(JSON.parse(json.text()), { valid: false, break: { file: path, line: 2 } });
  t.equal(json.exitCode, 1);
});

t.test('a torn last line is a note: 0', async (t) => {
  const path = await audited(t.testdir({}));
  fs.truncateSync(path, fs.statSync(path).size - 5);
  const { text, exitCode } = await verify(path);
  t.match(text(), /^note: .*:3: the last line is torn/);
  t.equal(exitCode, 0);
});

t.test('a file that cannot be read is misuse: 2', async (t) => {
  const output = await verify(join(t.testdir({}), 'none.jsonl'));
  t.match(output.errors(), /^portcullis: \/.*\/none\.jsonl: there is no such file\n$/);
  t.equal(output.text(), '');
  t.equal(output.exitCode, 2);
});

t.test('files without a record prove nothing: 1', async (t) => {
  const directory = t.testdir({ 'audit.jsonl': '' });
  const { text, exitCode } = await verify(join(directory, 'audit.jsonl'));
  t.equal(text(), 'NO RECORDS: there is nothing to verify\n');
  t.equal(exitCode, 1);
  const json = await verify('--json', join(directory, 'audit.jsonl'));
  t.match(JSON.parse(json.text()), { valid: false, records: 0 });
});
