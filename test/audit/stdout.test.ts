// The stdout sink over real pipes: slow readers, readers that went away, and lines that are never torn.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { until } from '../support/until.ts';
import { breakOf, configOf, eventOf, openLog } from './support.ts';

const config = configOf([{ type: 'stdout', required: true }]);
const impatient = { ...config, timeout: 300 };

const { O_RDONLY, O_WRONLY, O_NONBLOCK } = fs.constants;

function pipe(directory: string) {
  const path = join(directory, 'fifo');
  execFileSync('mkfifo', [path]);
  const from = readFrom(path);
  return { ...from, writer: fs.openSync(path, O_WRONLY) };
}

function readFrom(path: string) {
  const reader = fs.openSync(path, O_RDONLY | O_NONBLOCK);
  let text = '';
  return {
    reader,
    /** Takes what is in the pipe, or the first bytes of it; yields all that was ever read. */
    read(most = Number.POSITIVE_INFINITY): string {
      const buffer = Buffer.alloc(Math.min(most, 1 << 20));
      try {
        for (let count = 1, taken = 0; count > 0 && taken < most; taken += count) {
          count = fs.readSync(reader, buffer);
          text += buffer.toString('utf8', 0, count);
        }
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      }
      return text;
    },
  };
}

async function chainOf(directory: string, text: string) {
  const path = join(directory, 'captured.jsonl');
  fs.writeFileSync(path, text);
  const lines: { seq: number; id: string; reason?: string }[] = text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
  return { lines, broken: await breakOf(path) };
}

t.test('every line goes to the reader, in a chain that begins with the process', async (t) => {
  const directory = t.testdir({});
  const { reader, writer, read } = pipe(directory);
  const log = await openLog(config, { stdoutFd: writer });
  await Promise.all(['r1', 'r2', 'r3'].map((id) => log.write(eventOf(id))));
  await log.close();
  const { lines, broken } = await chainOf(directory, read());
  t.match(lines, [
    { seq: 1, id: 'r1' },
    { seq: 2, id: 'r2' },
    { seq: 3, id: 'r3' },
  ]);
  t.equal(broken, undefined);
  t.ok(fs.fstatSync(writer).isFIFO(), 'the descriptor itself stays open');
  fs.closeSync(reader);
  fs.closeSync(writer);
});

t.test(
  'a reader that does not read fails the requests in time; when it reads again no line is torn or lost',
  async (t) => {
    const directory = t.testdir({});
    const { reader, writer, read } = pipe(directory);
    const log = await openLog(impatient, { stdoutFd: writer });
    const acknowledged: string[] = [];
    const big = { arguments: 'x'.repeat(10_000) };
    let refused = 0;
    for (let index = 0; refused < 3; index += 1) {
      await log.write(eventOf(`r${index}`, { mcp: big })).then(
        () => acknowledged.push(`r${index}`),
        (error) => {
          refused += 1;
          t.match(error, { code: 'audit_unavailable', status: 503 });
        },
      );
    }
    t.ok(acknowledged.length > 3, 'the pipe took some');
    t.equal(log.healthy(), false);
    await until(() => {
      read();
      return log.healthy();
    }, 'healthy again');
    await log.write(eventOf('last'));
    acknowledged.push('last');
    await log.close();
    const { lines, broken } = await chainOf(directory, read());
    const ids = lines.map((line) => line.id);
    t.strictSame(
      acknowledged.filter((id) => !ids.includes(id)),
      [],
    );
    t.ok(lines.some((line) => line.reason === 'recovered'));
    t.equal(broken, undefined);
    fs.closeSync(reader);
    fs.closeSync(writer);
  },
);

t.test('a reader that went away is a refusal, never the end of the process', async (t) => {
  const { reader, writer } = pipe(t.testdir({}));
  const log = await openLog(config, { stdoutFd: writer });
  await log.write(eventOf('r1'));
  fs.closeSync(reader);
  await t.rejects(log.write(eventOf('r2')), { code: 'audit_unavailable', cause: { code: 'EPIPE' } });
  t.equal(log.healthy(), false);
  await log.close();
  fs.closeSync(writer);
});

t.test(
  'a reader that leaves in the middle of a line: the next one gets the rest of it, and no refused line',
  async (t) => {
    const directory = t.testdir({});
    const first = pipe(directory);
    const log = await openLog(config, { stdoutFd: first.writer });
    // The first is written alone; the others in one write, of more than a pipe holds.
    const begun = ['b1', 'b2', 'b3', 'b4', 'b5', 'b6'];
    const written = begun.map((id) => log.write(eventOf(id, { mcp: { arguments: 'x'.repeat(50_000) } })));
    await written[0];
    await until(() => first.read(5000).length > 60_000, 'the second has begun');
    fs.closeSync(first.reader);
    for (const each of written.slice(1)) await t.rejects(each, { code: 'audit_unavailable', cause: { code: 'EPIPE' } });
    for (const id of ['r1', 'r2']) await t.rejects(log.write(eventOf(id)), { code: 'audit_unavailable' });
    const next = readFrom(join(directory, 'fifo'));
    await until(() => {
      next.read();
      return log.healthy();
    }, 'healthy again');
    await log.write(eventOf('last'));
    await log.close();
    const { lines, broken } = await chainOf(directory, first.read(0) + next.read());
    t.strictSame(
      lines.map((line) => line.reason ?? line.id),
      [...begun, 'recovered', 'last'],
    );
    t.equal(broken, undefined);
    fs.closeSync(next.reader);
    fs.closeSync(first.writer);
  },
);

t.test('a full device refuses; an ordinary file behind stdout is written', async (t) => {
  const full = fs.openSync('/dev/full', 'w');
  const refusing = await openLog(config, { stdoutFd: full });
  await t.rejects(refusing.write(eventOf('r1')), { code: 'audit_unavailable', cause: { code: 'ENOSPC' } });
  await refusing.close();
  fs.closeSync(full);

  const directory = t.testdir({});
  const path = join(directory, 'out');
  const file = fs.openSync(path, 'w');
  const log = await openLog(config, { stdoutFd: file });
  await log.write(eventOf('r1'));
  await log.close();
  fs.closeSync(file);
  const { lines, broken } = await chainOf(directory, fs.readFileSync(path, 'utf8'));
  t.match(lines, [{ seq: 1, id: 'r1' }]);
  t.equal(broken, undefined);
});

t.test('a socket whose other end does not read fails in time, and does not keep the process from ending', async (t) => {
  const program = `
    import { configOf, eventOf, openLog } from './support.ts';
    const log = await openLog(configOf([{ type: 'stdout', required: true }], { timeout: 300 }));
    const big = { arguments: 'x'.repeat(50_000) };
    let refused = 0;
    while (refused < 3) await log.write(eventOf('r', { mcp: big })).catch(() => { refused += 1; });
    const healthy = log.healthy();
    await log.close();
    process.exit(healthy ? 1 : 7);`;
  const args = ['--input-type=module', '-e', program];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], cwd: import.meta.dirname });
  child.stdout.pause();
  const [code] = await once(child, 'exit');
  t.equal(code, 7);
  child.stdout.destroy();
});
