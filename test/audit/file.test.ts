// The audit file over its life: restarts, torn ends, rotation, retention, outsiders, and one process at a time.
import fs from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { acquireLock } from '../../src/audit/sinks/file/lock.ts';
import { listRotated, rotatedName } from '../../src/audit/sinks/file/rotation.ts';
import { until } from '../support/until.ts';
import {
  breakOf,
  configOf,
  dayMs,
  eventOf,
  fileSink,
  linesOf,
  linesSoFar,
  openLog,
  requestIds,
  someTime,
} from './support.ts';

t.test(
  'a new file is created with its directory, for its owner only, and the chain goes on over restarts',
  async (t) => {
    const path = join(t.testdir({}), 'logs', 'portcullis', 'audit.jsonl');
    for (const id of ['r1', 'r2', 'r3']) {
      const log = await openLog(configOf([fileSink(path)]));
      await log.write(eventOf(id));
      t.equal(log.healthy(), true);
      await log.close();
      await t.rejects(log.write(eventOf('late')), { code: 'audit_unavailable', status: 503 });
    }
    t.strictSame(requestIds(path), ['r1', 'r2', 'r3']);
    t.strictSame(
      linesOf(path).map((line) => line.seq),
      [1, 2, 3],
    );
    t.equal(await breakOf(path), undefined);
    t.equal(fs.statSync(path).mode & 0o777, 0o600);
    t.notOk(fs.existsSync(`${path}.lock`));
  },
);

t.test('what stands at the path and is no audit file stops the start and stays untouched', async (t) => {
  const dir = t.testdir({ notes: 'first\nsecond\n', one: 'hello', directory: {}, notADirectory: 'x' });
  const cases: [string, RegExp][] = [
    ['notes', /damaged beyond its last line/],
    ['one', /is not an audit file/],
    ['directory', /is not a regular file/],
    ['notADirectory/audit.jsonl', /ENOTDIR|EEXIST/],
  ];
  for (const [name, message] of cases) {
    await t.rejects(openLog(configOf([fileSink(join(dir, name))])), { message });
    t.notOk(fs.existsSync(join(dir, `${name}.lock`)));
  }
  t.equal(fs.readFileSync(join(dir, 'notes'), 'utf8'), 'first\nsecond\n');
  t.equal(fs.readFileSync(join(dir, 'one'), 'utf8'), 'hello');
  await t.rejects(openLog(configOf([fileSink('/dev/null')])), { message: /is not a regular file/ });
  // Where no directory can be made, Node's own `mkdir -p` would never return.
  await t.rejects(openLog(configOf([fileSink('/proc/nowhere/audit.jsonl')])), { message: /ENOENT/ });
});

t.test('a last line torn near its ends or within is cut, recorded, and the chain goes on', async (t) => {
  const dir = t.testdir({});
  const whole = join(dir, 'whole.jsonl');
  const log = await openLog(configOf([fileSink(whole)]));
  for (const id of ['r1', 'r2']) await log.write(eventOf(id));
  await log.close();
  const bytes = fs.readFileSync(whole);
  const firstEnd = bytes.indexOf(10) + 1;
  const isNearEnd = (length: number) => [0, firstEnd, bytes.length].some((end) => Math.abs(length - end) < 16);
  // Between the ends of the lines, one byte is like the next.
  const cuts = Array.from({ length: bytes.length + 1 }, (_, length) => length).filter(
    (length) => isNearEnd(length) || length % 5 === 0,
  );
  for (const length of cuts) {
    const path = join(dir, 'torn.jsonl');
    fs.writeFileSync(path, bytes.subarray(0, length));
    const again = await openLog(configOf([fileSink(path)]));
    await again.write(eventOf('r3'));
    await again.close();
    const complete = length >= bytes.length - 1 ? ['r1', 'r2'] : length >= firstEnd - 1 ? ['r1'] : [];
    const torn = length - (length >= firstEnd ? firstEnd : 0);
    const isWhole = [0, firstEnd - 1, firstEnd, bytes.length - 1, bytes.length].includes(length);
    const repairs = linesOf(path).filter((line) => line.reason === 'repaired');
    const found = [
      requestIds(path),
      repairs.map((line) => (line.detail as { repaired: number }).repaired),
      await breakOf(path),
    ];
    const wanted = [[...complete, 'r3'], isWhole ? [] : [torn], undefined];
    if (JSON.stringify(found) !== JSON.stringify(wanted)) t.strictSame(found, wanted, `cut at ${length}`);
    fs.rmSync(path);
  }
  t.pass(`${cuts.length} cuts`);
});

t.test('a last line of garbage is cut with its text as evidence; zeros after a power loss too', async (t) => {
  for (const garbage of ['{"seq":2,"id":"r2","time"\n', '\0\0\0\0\0\0\0\0', 'x'.repeat(5000)]) {
    const path = join(t.testdir({}), 'audit.jsonl');
    const log = await openLog(configOf([fileSink(path)]));
    await log.write(eventOf('r1'));
    await log.close();
    fs.appendFileSync(path, garbage);
    await (await openLog(configOf([fileSink(path)]))).close();
    const repaired = linesOf(path)[1];
    t.match(repaired, { seq: 2, stage: 'config', reason: 'repaired', policy: 'p1' });
    t.match(repaired?.detail, { repaired: garbage.length, sha256: /^[0-9a-f]{64}$/, text: garbage.slice(0, 1024) });
    t.equal(await breakOf(path), undefined);
  }
});

t.test('an altered last line is not torn: it stays, and verification finds it', async (t) => {
  const path = join(t.testdir({}), 'audit.jsonl');
  const log = await openLog(configOf([fileSink(path)]));
  await log.write(eventOf('r1'));
  await log.close();
  fs.writeFileSync(path, fs.readFileSync(path, 'utf8').replace('"r1"', '"rX"'));
  const again = await openLog(configOf([fileSink(path)]));
  await again.write(eventOf('r2'));
  await again.close();
  t.strictSame(requestIds(path), ['rX', 'r2']);
  t.match(await breakOf(path), /altered/);
});

t.test('requests that were decided and never completed are reported once, as unknown, at the next start', async (t) => {
  const path = join(t.testdir({}), 'audit.jsonl');
  const sink = fileSink(path, { rotateAt: 1500 });
  const log = await openLog(configOf([sink]));
  for (const id of ['r1', 'r2', 'r3', 'r4', 'r5', 'r6'])
    await log.write(eventOf(id, { stage: 'decided', route: 'mcp' }));
  for (const id of ['r2', 'r4', 'r5', 'r6']) await log.write(eventOf(id, { stage: 'completed' }));
  await log.close();
  t.ok((await listRotated(path)).length >= 1, 'the decided ones are in a rotated file');
  for (let starts = 0; starts < 2; starts += 1) await (await openLog(configOf([sink]))).close();
  const files = [...(await listRotated(path)).map((each) => each.path), path];
  const unknown = files.flatMap(linesOf).filter((line) => line.outcome === 'unknown');
  t.match(unknown, [
    { id: 'r1', stage: 'completed', reason: 'restart', route: 'mcp', detail: { decided: 1 } },
    { id: 'r3', stage: 'completed', reason: 'restart', route: 'mcp', detail: { decided: 3 } },
  ]);
  t.equal(unknown.length, 2);
  t.equal(await breakOf(...files), undefined);
});

t.test('a full file is rotated under a sorted name, and the chain goes on over files and restarts', async (t) => {
  const path = join(t.testdir({}), 'audit.jsonl');
  const sink = fileSink(path, { rotateAt: 1000 });
  let time = someTime;
  const ids = Array.from({ length: 30 }, (_, index) => `r${index}`);
  for (const half of [ids.slice(0, 15), ids.slice(15)]) {
    const log = await openLog(configOf([sink]), { now: () => (time += 1000) });
    for (const id of half) await log.write(eventOf(id));
    await log.close();
  }
  const rotated = (await listRotated(path)).map((each) => each.path);
  t.ok(rotated.length > 3);
  t.strictSame(rotated.toSorted(), rotated, 'names sort as the chain does');
  t.match(rotated[0], /\/audit-20261123T0545\d\d\.000Z-0000000000\d\d\.jsonl$/);
  t.strictSame([...rotated, path].flatMap(requestIds), ids);
  t.equal(await breakOf(...rotated, path), undefined);
});

t.test('a crash between the rename and the new file loses nothing of the chain', async (t) => {
  const path = join(t.testdir({}), 'audit.jsonl');
  const log = await openLog(configOf([fileSink(path)]));
  await log.write(eventOf('r1'));
  await log.close();
  const rotated = rotatedName(path, someTime, 1);
  fs.renameSync(path, rotated);
  const again = await openLog(configOf([fileSink(path)]));
  await again.write(eventOf('r2'));
  await again.close();
  t.match(linesOf(path), [{ seq: 2, id: 'r2' }]);
  t.equal(await breakOf(rotated, path), undefined);
});

t.test('files older than keepFor are deleted after a record of what they held', async (t) => {
  const path = join(
    t.testdir({ 'audit-other.jsonl': 'not ours', 'audit-20200101T000000.000Z-x.jsonl': '' }),
    'audit.jsonl',
  );
  const sink = fileSink(path, { rotateAt: 200, keepFor: 2 * dayMs });
  let time = someTime;
  const first = await openLog(configOf([fileSink(path, { rotateAt: 200 })]), { now: () => time });
  for (const id of ['r1', 'r2', 'r3', 'r4']) {
    await first.write(eventOf(id));
    time += dayMs;
  }
  await first.close();
  const before = await listRotated(path);
  t.equal(before.length, 3);
  const held = linesOf(before[1]?.path ?? '').at(-1);

  const log = await openLog(configOf([sink]), { now: () => time });
  await until(() => !fs.existsSync(before[1]?.path ?? ''), 'the old files are gone');
  await log.write(eventOf('r5'));
  await log.close();
  const after = (await listRotated(path)).map((each) => each.path);
  t.ok(fs.existsSync(before[2]?.path ?? ''), 'a younger one stays');
  const records = [...after, path].flatMap(linesOf).filter((line) => line.reason === 'retention');
  t.equal(records.length, 2);
  t.match(records[1]?.detail, {
    exceeds: 'keepFor',
    deleted: { file: /^audit-2026/, firstSeq: held?.seq, lastSeq: held?.seq, lastHash: held?.hash },
  });
  t.equal(await breakOf(...after, path), undefined);
  t.strictSame(
    fs.readdirSync(join(path, '..')).filter((name) => /other|2020/.test(name)).length,
    2,
    'foreign files stay',
  );
});

t.test('the oldest files go when all hold more than keepBytes, each after its record, also by a reload', async (t) => {
  const path = join(t.testdir({}), 'audit.jsonl');
  const rotateAt = 2000;
  let time = someTime;
  const sizeOfAll = () =>
    fs
      .readdirSync(join(path, '..'))
      .filter((name) => name.endsWith('.jsonl'))
      .reduce((sum, name) => sum + fs.statSync(join(path, '..', name)).size, 0);
  const log = await openLog(configOf([fileSink(path, { rotateAt })]), { now: () => time });
  const fill = async (from: number, to: number) => {
    for (let index = from; index < to; index += 1) {
      time += 1000;
      await log.write(eventOf(`r${index}`));
    }
  };
  await fill(0, 60);
  t.ok(sizeOfAll() > 5 * rotateAt);
  const before = (await listRotated(path)).map((each) => each.path);
  const keepBytes = 3 * rotateAt + 999;
  (await log.prepare(configOf([fileSink(path, { rotateAt, keepBytes })]))).commit();
  await until(() => sizeOfAll() <= keepBytes, 'the oldest are gone');
  await fill(60, 120);
  await until(() => sizeOfAll() <= keepBytes, 'and go on going');
  await log.write(eventOf('last'));
  await log.close();
  const after = (await listRotated(path)).map((each) => each.path);
  t.ok(after.length > 0 && after.length <= 3);
  t.ok(before.every((each) => !fs.existsSync(each)));
  const records = [...after, path].flatMap(linesOf).filter((line) => line.reason === 'retention');
  t.ok(records.length > 0);
  for (const { detail } of records) t.match(detail, { exceeds: 'keepBytes', deleted: { file: /^audit-2026/ } });
  t.equal(await breakOf(...after, path), undefined, 'the chain begins where the last record of a deletion says');
});

t.test('nothing is deleted when the record of it cannot be written', async (t) => {
  const path = join(t.testdir({}), 'audit.jsonl');
  const old = rotatedName(path, someTime - 10 * dayMs, 7);
  fs.writeFileSync(old, 'old');
  let refused = 0;
  const files = {
    fdatasync: fs.fdatasync,
    ftruncate: fs.ftruncate,
    write: (...args: unknown[]) => {
      refused += 1;
      (args.at(-1) as (error: Error) => void)(Object.assign(new Error('full'), { code: 'ENOSPC' }));
    },
  };
  const log = await openLog(configOf([fileSink(path, { keepFor: dayMs })]), { files: files as unknown as typeof fs });
  await until(() => refused > 2, 'the record was tried');
  t.equal(log.healthy(), false);
  t.equal(fs.readFileSync(old, 'utf8'), 'old');
  await log.close();
});

t.test('a file renamed or deleted by an outsider is opened anew, and the chain goes on', async (t) => {
  for (const [act, moved] of [
    [(path: string) => fs.renameSync(path, `${path}.1`), true],
    [(path: string) => fs.unlinkSync(path), false],
    [(path: string) => fs.rmSync(join(path, '..'), { recursive: true }), false],
  ] as const) {
    const path = join(t.testdir({ logs: {} }), 'logs', 'audit.jsonl');
    const log = await openLog(configOf([fileSink(path)]));
    await log.write(eventOf('r1'));
    act(path);
    await until(() => linesSoFar(path).length > 0, 'the new file is there');
    await log.write(eventOf('r2'));
    t.equal(log.healthy(), true);
    await log.close();
    t.match(linesOf(path), [
      { seq: 2, stage: 'config', reason: 'file_replaced', detail: { lastSeq: 1 } },
      { seq: 3, id: 'r2' },
    ]);
    if (moved) t.equal(await breakOf(`${path}.1`, path), undefined);
    else t.match(await breakOf(path), /earlier records are missing/);
  }
});

t.test('a file cut or written by an outsider goes on, with a record of it', async (t) => {
  const path = join(t.testdir({}), 'audit.jsonl');
  const log = await openLog(configOf([fileSink(path)]));
  for (const id of ['r1', 'r2', 'r3']) await log.write(eventOf(id));
  fs.truncateSync(path, fs.statSync(path).size - 10);
  await until(() => linesSoFar(path).some((line) => line.reason === 'file_shrunk'), 'it is noticed');
  fs.appendFileSync(path, 'junk');
  await until(
    () => linesSoFar(path).some((line) => (line.detail as { text?: string })?.text === 'junk'),
    'it is noticed',
  );
  await log.write(eventOf('r4'));
  await log.close();
  t.strictSame(requestIds(path), ['r1', 'r2', 'r4']);
  t.match(await breakOf(path), /records are missing: seq 4 after seq 2/, 'what the outsider took shows');
});

t.test('two logs never write to one file', async (t) => {
  const path = join(t.testdir({}), 'audit.jsonl');
  const log = await openLog(configOf([fileSink(path)]));
  await t.rejects(openLog(configOf([fileSink(path)])), {
    message: new RegExp(`is being written by process ${process.pid}`),
  });
  await t.rejects(openLog(configOf([fileSink(`${path}2`), fileSink(`${path}2`)])), {
    message: /^audit\.sinks\[1\]\.path: another sink writes to/,
  });
  await log.write(eventOf('r1'));
  await log.close();
  t.strictSame(requestIds(path), ['r1']);
  t.notOk(fs.existsSync(`${path}2.lock`), 'what was opened before the failure is closed');
});

t.test('the lock of a living process that the system hides is left to it', async (t) => {
  // A service with `ProtectProc=invisible` sees of another one that its process is there, and nothing else.
  const bootId = fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8');
  const directory = t.testdir({ proc: { sys: { kernel: { random: { boot_id: bootId } } }, self: { ns: {} } } });
  const [path, proc] = [join(directory, 'audit.jsonl'), join(directory, 'proc')];
  fs.symlinkSync(fs.readlinkSync('/proc/self/ns/pid'), join(proc, 'self/ns/pid'));
  const mine = await acquireLock(path);
  t.teardown(mine.release);
  let beats = 0;
  const heart = setInterval(() => {
    beats += 1;
    fs.utimesSync(`${path}.lock`, beats, beats);
  }, 5);
  await t.rejects(acquireLock(path, { watchMs: 200, proc }), { message: /is being written by process \d+/ });
  clearInterval(heart);
});

t.test(
  'the lock of a dead process, of a pid used again, or of nobody is taken over; a living one elsewhere is not',
  async (t) => {
    const path = join(t.testdir({}), 'audit.jsonl');
    const lockPath = `${path}.lock`;
    const mine = await acquireLock(path);
    const self = JSON.parse(fs.readFileSync(lockPath, 'utf8'));
    await mine.release();
    for (const holder of [
      JSON.stringify({ ...self, pid: 2 ** 22 + 1 }),
      JSON.stringify({ ...self, started: '1' }),
      JSON.stringify({ ...self, space: 'another container' }),
      '',
    ]) {
      fs.writeFileSync(lockPath, holder);
      const lock = await acquireLock(path, { watchMs: 20 });
      t.equal(JSON.parse(fs.readFileSync(lockPath, 'utf8')).pid, process.pid);
      await lock.release();
    }
    fs.writeFileSync(lockPath, JSON.stringify({ ...self, space: 'another container', host: 'pod-2' }));
    let beats = 0;
    const heart = setInterval(() => {
      beats += 1;
      fs.utimesSync(lockPath, beats, beats);
    }, 5);
    await t.rejects(acquireLock(path, { watchMs: 200 }), { message: /is being written by process \d+ on pod-2/ });
    clearInterval(heart);
  },
);
