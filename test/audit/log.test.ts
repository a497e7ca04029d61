// Several sinks, their order, and going over to another configuration while records are written.
import fs from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { until } from '../support/until.ts';
import { breakOf, configOf, dayMs, eventOf, fileSink, linesOf, openLog, requestIds } from './support.ts';

t.test('every required sink has each record, in the order of the calls, in a chain of its own', async (t) => {
  const directory = t.testdir({});
  const [one, two] = [join(directory, 'one.jsonl'), join(directory, 'two.jsonl')];
  const log = await openLog(configOf([fileSink(one), fileSink(two)]));
  const ids = Array.from({ length: 3000 }, (_, index) => `r${index}`);
  await Promise.all(ids.map((id, index) => log.write(eventOf(id), index % 3 === 0 ? 'completion' : 'decision')));
  await log.write(eventOf('alone'), 'completion');
  await log.close();
  for (const path of [one, two]) {
    t.strictSame(requestIds(path), [...ids, 'alone']);
    t.equal(await breakOf(path), undefined);
  }
});

t.test(
  'a line alone is written in its turn of the event loop; behind a write of many, those of successive turns share one',
  async (t) => {
    const path = join(t.testdir({}), 'audit.jsonl');
    let writes = 0;
    const write = ((...args: Parameters<typeof fs.write>) => {
      writes += 1;
      return fs.write(...args);
    }) as typeof fs.write;
    const log = await openLog(configOf([fileSink(path)]), { files: { ...fs, write }, tickMs: 60_000 });
    writes = 0;
    const alone = log.write(eventOf('alone'));
    await turnOfEventLoop();
    t.equal(writes, 1);
    await alone;
    await Promise.all(['m0', 'm1', 'm2', 'm3'].map((id) => log.write(eventOf(id))));
    await Promise.all(['n0', 'n1', 'n2', 'n3'].map((id) => log.write(eventOf(id))));
    writes = 0;
    // The clock stands still, so that the first line never waits too long for the others.
    const startedMs = performance.now();
    t.intercept(performance, 'now', { value: () => startedMs });
    const pending: Promise<void>[] = [];
    for (let turn = 0; turn < 4; turn += 1) {
      pending.push(log.write(eventOf(`r${turn}`)));
      await turnOfEventLoop();
    }
    await Promise.all(pending);
    t.equal(writes, 1);
    t.strictSame(requestIds(path).slice(-4), ['r0', 'r1', 'r2', 'r3']);
    await log.close();
  },
);

t.test('lines that never stop coming are written all the same', async (t) => {
  const path = join(t.testdir({}), 'audit.jsonl');
  const log = await openLog(configOf([fileSink(path)]));
  let written = false;
  const first = log.write(eventOf('first')).then(() => {
    written = true;
  });
  while (!written) {
    void log.write(eventOf('more'));
    await turnOfEventLoop();
  }
  await first;
  await log.close();
  t.equal(requestIds(path)[0], 'first');
  t.equal(await breakOf(path), undefined);
});

function turnOfEventLoop(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

t.test('closing writes out what nobody waited for', async (t) => {
  const path = join(t.testdir({}), 'audit.jsonl');
  const log = await openLog(configOf([fileSink(path)]));
  void log.write(eventOf('r1'), 'completion');
  void log.write(eventOf('r2'));
  await log.close();
  await log.close();
  t.strictSame(requestIds(path), ['r1', 'r2']);
});

t.test('a new configuration opens what is new first, keeps what stays, and closes what goes', async (t) => {
  const directory = t.testdir({});
  const [stays, goes, comes] = ['stays', 'goes', 'comes'].map((name) => join(directory, `${name}.jsonl`)) as [
    string,
    string,
    string,
  ];
  const log = await openLog(configOf([fileSink(stays), fileSink(goes)]));
  await log.write(eventOf('r1'));
  const pending = Array.from({ length: 100 }, (_, index) => log.write(eventOf(`p${index}`)));
  (await log.prepare(configOf([fileSink(comes), fileSink(stays)]))).commit();
  await Promise.all(pending);
  await log.write(eventOf('r2'));
  await until(() => !fs.existsSync(`${goes}.lock`), 'what goes is closed');
  await log.close();
  await t.rejects(log.prepare(configOf([fileSink(stays)])), { message: /closed/ });
  t.equal(requestIds(stays).length, 102);
  t.equal(requestIds(goes).length, 101);
  t.strictSame(requestIds(comes), ['r2']);
  t.equal(linesOf(stays).at(-1)?.seq, 102, 'the chain was not begun again');
  for (const path of [stays, goes, comes]) t.equal(await breakOf(path), undefined);
});

t.test('a sink that cannot be opened leaves the old configuration whole', async (t) => {
  const directory = t.testdir({ obstacle: 'x' });
  const [old, fresh] = [join(directory, 'old.jsonl'), join(directory, 'fresh.jsonl')];
  const log = await openLog(configOf([fileSink(old)]));
  const bad = configOf([fileSink(fresh), fileSink(join(directory, 'obstacle', 'audit.jsonl'))]);
  await t.rejects(log.prepare(bad), { message: /^audit\.sinks\[1\]\.path: .*obstacle/ });
  await log.write(eventOf('r1'));
  t.equal(log.healthy(), true);
  t.notOk(fs.existsSync(`${fresh}.lock`), 'what had been opened is closed');
  await log.close();
  t.strictSame(requestIds(old), ['r1']);
});

t.test('a prepared configuration that is disposed of leaves nothing behind', async (t) => {
  const directory = t.testdir({});
  const [old, fresh] = [join(directory, 'old.jsonl'), join(directory, 'new/folder/fresh.jsonl')];
  const log = await openLog(configOf([fileSink(old)]));
  const prepared = await log.prepare(configOf([fileSink(fresh), fileSink(old, { required: false })]));
  t.ok(fs.existsSync(`${fresh}.lock`), 'it is open');
  await log.write(eventOf('r1'));
  await prepared.dispose();
  await log.write(eventOf('r2'));
  t.strictSame(fs.readdirSync(directory).sort(), ['old.jsonl', 'old.jsonl.lock']);
  await log.close();
  t.strictSame(requestIds(old), ['r1', 'r2']);
});

t.test('a prepared sink that is disposed of keeps a file that was there as it was', async (t) => {
  const directory = t.testdir({ 'fresh.jsonl': '' });
  const [old, fresh] = [join(directory, 'old.jsonl'), join(directory, 'fresh.jsonl')];
  const log = await openLog(configOf([fileSink(old)]));
  await (await log.prepare(configOf([fileSink(fresh)]))).dispose();
  t.equal(fs.readFileSync(fresh, 'utf8'), '');
  t.notOk(fs.existsSync(`${fresh}.lock`));
  await log.close();
});

t.test('preparing ends when it is told to while it waits for a lock', async (t) => {
  const directory = t.testdir({ 'fresh.jsonl.lock': 'of a process in another container' });
  const log = await openLog(configOf([fileSink(join(directory, 'old.jsonl'))]));
  const stop = new AbortController();
  const prepared = log.prepare(configOf([fileSink(join(directory, 'fresh.jsonl'))]), stop.signal);
  stop.abort();
  await t.rejects(prepared, { message: /^audit\.sinks\[0\]\.path: / });
  await log.close();
});

t.test('new limits of a file apply without opening it again', async (t) => {
  const path = join(t.testdir({}), 'audit.jsonl');
  const log = await openLog(configOf([fileSink(path)]));
  await log.write(eventOf('r1'));
  (
    await log.prepare(configOf([fileSink(path, { rotateAt: 100, keepFor: dayMs })], { onFailure: 'continue' }))
  ).commit();
  await log.write(eventOf('r2'));
  await log.close();
  t.strictSame(requestIds(path), ['r2'], 'r1 was rotated away');
  t.equal(linesOf(path)[0]?.seq, 2);
});

t.test('a sink made optional no longer decides about health or requests', async (t) => {
  const directory = t.testdir({ logs: {} });
  const path = join(directory, 'logs', 'audit.jsonl');
  const files = {
    write: ((_fd: number, ...rest: unknown[]) => {
      (rest.at(-1) as (error: Error) => void)(Object.assign(new Error('full'), { code: 'ENOSPC' }));
    }) as unknown as typeof fs.write,
    fdatasync: fs.fdatasync,
    ftruncate: fs.ftruncate,
  };
  const log = await openLog(configOf([fileSink(path)]), { files });
  await t.rejects(log.write(eventOf('r1')), { code: 'audit_unavailable' });
  t.equal(log.healthy(), false);
  (await log.prepare(configOf([fileSink(path, { required: false })]))).commit();
  await log.write(eventOf('r2'));
  await until(() => log.healthy(), 'health does not ask it');
  await log.close();
});
