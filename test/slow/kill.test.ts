// A process that dies or runs out of space while it audits: what it said was recorded is recorded, and the chain holds.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { listRotated } from '../../src/audit/sinks/file/rotation.ts';
import { breakOf, configOf, fileSink, linesOf, openLog } from '../audit/support.ts';
import { wholeLines } from '../support/json-lines.ts';
import { until } from '../support/until.ts';

const writer = join(import.meta.dirname, '../audit/writer.ts');

/** Starts the writer with its stdout in a file (a pipe could be full); `seen` waits until that many lines of a sign are there. */
function start(directory: string, command: string, args: readonly string[]) {
  const saysTo = join(directory, `said-${fs.readdirSync(directory).length}`);
  const fd = fs.openSync(saysTo, 'w');
  const child = spawn(command, args, { stdio: ['ignore', fd, 'inherit'] });
  fs.closeSync(fd);
  const of = (sign: string) =>
    wholeLines(fs.readFileSync(saysTo, 'utf8'))
      .filter((line) => line.startsWith(sign))
      .map((line) => line.slice(1));
  const seen = (sign: string, count: number) => until(() => of(sign).length >= count, `${count} of ${sign}`);
  return { child, of, seen };
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'close');
}

async function allLines(path: string) {
  const files = [...(await listRotated(path)).map((each) => each.path), path];
  return { files, lines: files.flatMap(linesOf) };
}

t.test(
  'kill -9 at any time loses no record that was acknowledged, and every start goes on with the chain',
  async (t) => {
    const directory = t.testdir({ logs: {} });
    const path = join(directory, 'logs', 'audit.jsonl');
    const acknowledged: string[] = [];
    for (const [round, count] of [40, 900, 300, 2000].entries()) {
      const said = start(directory, process.execPath, [writer, path, `k${round}`, '200000']);
      await said.seen('+', count);
      await kill(said.child);
      acknowledged.push(...said.of('+'));
      t.ok(fs.existsSync(`${path}.lock`), 'it died holding the lock');
    }
    await (await openLog(configOf([fileSink(path)]))).close();

    const { files, lines } = await allLines(path);
    const decided = new Set(lines.filter((line) => line.stage === 'decided').map((line) => line.id));
    const completed = lines.filter((line) => line.stage === 'completed').map((line) => line.id);
    t.strictSame(
      acknowledged.filter((id) => !decided.has(id)),
      [],
    );
    t.ok(acknowledged.length >= 3240);
    t.strictSame(
      [...decided].filter((id) => !completed.includes(id)),
      [],
      'each has an outcome, if only unknown',
    );
    t.equal(new Set(completed).size, completed.length, 'and one only');
    t.equal(await breakOf(...files), undefined);
  },
);

t.test('at the end of its space exactly what was acknowledged is recorded, and it recovers by itself', async (t) => {
  const directory = t.testdir({ logs: {} });
  const path = join(directory, 'logs', 'audit.jsonl');
  // In units of 512 bytes: a file may grow to 1 MiB, and a write across that is taken in part.
  // What the test runner loads into its children answers the signal of a full file by ending the process: not here.
  const limited = ['-c', 'ulimit -f 2048; exec env -i "$@"', 'sh', process.execPath, writer, path, 'f'];
  const said = start(directory, 'sh', limited);
  await said.seen('-', 100);
  const before = said.of('+').length;
  fs.renameSync(path, join(path, '..', 'full.jsonl'));
  await said.seen('+', before + 20);
  await kill(said.child);

  await (await openLog(configOf([fileSink(path)]))).close();
  const files = [join(path, '..', 'full.jsonl'), path];
  const lines = files.flatMap(linesOf);
  const decided = new Set(lines.filter((line) => line.stage === 'decided').map((line) => line.id));
  t.strictSame(
    said.of('+').filter((id) => !decided.has(id)),
    [],
    'nothing was acknowledged and not recorded',
  );
  t.strictSame(
    said.of('-').filter((id) => decided.has(id)),
    [],
    'nothing was refused and recorded',
  );
  t.equal(
    lines.some((line) => line.reason === 'recovered'),
    true,
  );
  t.equal(await breakOf(...files), undefined);
});
