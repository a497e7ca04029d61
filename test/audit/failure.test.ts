// Sinks that fail: what each kind of broken disk means for the requests, and how the log recovers by itself.
import fs from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Priority } from '../../src/audit/event.ts';
import type { AuditConfig } from '../../src/audit/schema.ts';
import type { FileCalls } from '../../src/audit/sinks/file/append-file.ts';
import { createGate } from '../support/gate.ts';
import { until } from '../support/until.ts';
import { breakOf, configOf, eventOf, fileSink, linesOf, linesSoFar, openLog, requestIds } from './support.ts';

type Write = (fd: number, buffer: Buffer, offset: number, length: number, position: null, done: Done) => void;
type Done = (error: NodeJS.ErrnoException | null, written?: number) => void;

/** The real calls, with writing replaced. */
function calls(write: Write, more: Partial<FileCalls> = {}): FileCalls {
  return { fdatasync: fs.fdatasync, ftruncate: fs.ftruncate, write: write as unknown as typeof fs.write, ...more };
}

const ignore = (): void => {};
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const failing = (code: string) => Object.assign(new Error(`${code}: injected`), { code });

/** The real calls, of which one fails while `state.broken`; syncs are counted. */
function breakable(call: 'write' | 'fdatasync', code: string) {
  const state = { broken: false, syncs: 0 };
  const fails = (name: typeof call): boolean => state.broken && name === call;
  const fdatasync = ((fd: number, done: fs.NoParamCallback) => {
    state.syncs += 1;
    if (fails('fdatasync')) done(failing(code));
    else fs.fdatasync(fd, done);
  }) as typeof fs.fdatasync;
  const write: Write = (fd, buffer, offset, length, position, done) => {
    if (fails('write')) done(failing(code));
    else fs.write(fd, buffer, offset, length, position, done);
  };
  return { state, files: calls(write, { fdatasync }) };
}

function counting() {
  const counts = { written: 0, failed: 0, shed: 0 };
  const observe = {
    written: (_sink: string, records: number) => {
      counts.written += records;
    },
    failed: (_sink: string, records: number) => {
      counts.failed += records;
    },
    shed: () => {
      counts.shed += 1;
    },
  };
  return { counts, observe };
}

t.test('a full disk: recorded is exactly what was acknowledged, and it recovers without traffic', async (t) => {
  const path = join(t.testdir({}), 'audit.jsonl');
  let room = Number.POSITIVE_INFINITY;
  const files = calls((fd, buffer, offset, length, position, done) => {
    const taken = Math.min(length, room);
    if (taken === 0) return done(failing('ENOSPC'));
    fs.write(fd, buffer, offset, taken, position, (error, written) => {
      room -= written;
      done(error, written);
    });
  });
  const { counts, observe } = counting();
  const log = await openLog(configOf([fileSink(path)]), { files, observe });
  const acknowledged: string[] = [];
  let refused = 0;
  const writeSome = (from: number, to: number) =>
    Promise.all(
      Array.from({ length: to - from }, async (_, index) => {
        const id = `r${from + index}`;
        await log.write(eventOf(id, { stage: 'decided' })).then(
          () => acknowledged.push(id),
          (error) => {
            refused += 1;
            t.match(error, { code: 'audit_unavailable', status: 503, headers: { 'retry-after': '1' } });
          },
        );
      }),
    );
  await writeSome(0, 50);
  t.equal(refused, 0);
  room = 1000;
  await writeSome(50, 60);
  t.equal(refused, 10);
  t.equal(log.healthy(), false);
  for (let id = 60; id < 70; id += 1) await writeSome(id, id + 1);
  t.strictSame(requestIds(path).sort(), acknowledged.toSorted());
  room = Number.POSITIVE_INFINITY;
  await until(() => log.healthy(), 'healthy again');
  await writeSome(70, 80);
  await log.close();
  t.strictSame(requestIds(path).sort(), acknowledged.toSorted());
  t.equal(acknowledged.length + refused, 80);
  t.strictSame(counts, { written: acknowledged.length, failed: refused, shed: 0 });
  const recovered = linesOf(path).find((line) => line.reason === 'recovered');
  t.match(recovered, { stage: 'config', detail: { sink: path, missed: refused, since: /^2026-/ } });
  t.equal(await breakOf(path), undefined);
});

t.test('an I/O error, a read-only disk, a stale handle: refused, opened again, recovered', async (t) => {
  for (const code of ['EIO', 'EROFS', 'ESTALE', 'EPIPE']) {
    const path = join(t.testdir({}), 'audit.jsonl');
    let broken = false;
    const files = calls((fd, buffer, offset, length, position, done) => {
      if (!broken) return fs.write(fd, buffer, offset, length, position, done);
      // Half a line reaches the disk before the error does.
      fs.write(fd, buffer, offset, 100, position, () => done(failing(code)));
    });
    const log = await openLog(configOf([fileSink(path)]), { files });
    await log.write(eventOf('r1'));
    broken = true;
    await t.rejects(log.write(eventOf('r2')), { code: 'audit_unavailable' });
    await t.rejects(log.write(eventOf('r3')), { code: 'audit_unavailable' });
    t.equal(log.healthy(), false);
    broken = false;
    await until(() => log.healthy(), 'healthy again');
    await log.write(eventOf('r4'));
    await log.close();
    t.strictSame(requestIds(path), ['r1', 'r4'], code);
    t.equal(await breakOf(path), undefined, code);
  }
});

t.test('a descriptor that was closed, or given to another file, is noticed', async (t) => {
  const path = join(t.testdir({}), 'audit.jsonl');
  let descriptor = -1;
  const files = calls((fd, buffer, offset, length, position, done) => {
    descriptor = fd;
    fs.write(fd, buffer, offset, length, position, done);
  });
  const log = await openLog(configOf([fileSink(path)]), { files });
  await log.write(eventOf('r1'));
  const first = descriptor;
  fs.closeSync(first);
  await log.write(eventOf('r2')).catch(() => {});
  await until(() => log.healthy(), 'it writes again');
  await log.write(eventOf('r3'));
  await log.close();
  t.match(requestIds(path).join(), /^r1,(r2,)?r3$/);
  t.equal(await breakOf(path), undefined);
});

t.test('a write that does not return fails its callers in time, and those after it at once', async (t) => {
  const path = join(t.testdir({}), 'audit.jsonl');
  let release: (() => void) | undefined;
  let hang = false;
  const files = calls((fd, buffer, offset, length, position, done) => {
    const go = () => fs.write(fd, buffer, offset, length, position, done);
    if (hang) release = go;
    else go();
  });
  const { counts, observe } = counting();
  const log = await openLog(configOf([fileSink(path)], { timeout: 300 }), { files, observe });
  await log.write(eventOf('r1'));
  hang = true;
  const stuck = log.write(eventOf('r2'));
  await until(() => release !== undefined, 'the write is out');
  const queued = log.write(eventOf('r3'));
  await t.rejects(stuck, { code: 'audit_unavailable' });
  await t.rejects(queued, { code: 'audit_unavailable' });
  t.equal(log.healthy(), false);
  (await log.prepare(configOf([fileSink(path)], { timeout: 3_600_000 }))).commit();
  // They would now wait for an hour, if they waited.
  for (let index = 0; index < 50; index += 1) await t.rejects(log.write(eventOf('r4')), { code: 'audit_unavailable' });
  hang = false;
  release?.();
  await until(() => log.healthy(), 'healthy again');
  await log.write(eventOf('r5'));
  await log.close();
  t.strictSame(requestIds(path), ['r1', 'r2', 'r5'], 'what arrived late is in the file, and the chain knows');
  t.equal(linesOf(path).find((line) => line.reason === 'recovered')?.seq, 3);
  t.equal(counts.failed, 52);
  t.equal(await breakOf(path), undefined);
});

t.test(
  'a queue that is longer than the timeout, of a disk whose writes return in time, refuses and does not fail',
  async (t) => {
    const path = join(t.testdir({}), 'audit.jsonl');
    const gate = createGate();
    const release = gate.hold();
    let writes = 0;
    const files = calls(async (fd, buffer, offset, length, position, done) => {
      writes += 1;
      await gate.open();
      fs.write(fd, buffer, offset, length, position, done);
    });
    const { counts, observe } = counting();
    const log = await openLog(configOf([fileSink(path)], { timeout: 200 }), { files, observe });
    const first = log.write(eventOf('first'));
    await until(() => writes === 1, 'it is being written');
    const queued = Array.from({ length: 40 }, (_, index) =>
      log.write(eventOf(`r${index}`, { mcp: { arguments: 'x'.repeat(64_000) } })),
    );
    // The call that is out is not late from now on; what waits behind it still is after 200 ms.
    (await log.prepare(configOf([fileSink(path)], { timeout: 3_600_000 }))).commit();
    for (const waiting of queued) await t.rejects(waiting, { code: 'overloaded', status: 503 });
    t.equal(log.healthy(), true);
    release();
    await first;
    await log.write(eventOf('last'));
    t.equal(log.healthy(), true);
    await log.close();
    t.equal(requestIds(path).length, 42, 'and every line is written, in its order');
    t.match(counts, { written: 42, failed: 0, shed: 0 });
    t.equal(await breakOf(path), undefined);
  },
);

t.test('a slow disk makes batches, not failures; a stingy one writes on where it stopped', async (t) => {
  const path = join(t.testdir({}), 'audit.jsonl');
  let writes = 0;
  const gate = createGate();
  const release = gate.hold();
  const slow = calls(async (fd, buffer, offset, length, position, done) => {
    writes += 1;
    await gate.open();
    fs.write(fd, buffer, offset, length, position, done);
  });
  const log = await openLog(configOf([fileSink(path)]), { files: slow });
  const first = log.write(eventOf('r0'));
  await until(() => writes === 1, 'it is being written');
  const others = Array.from({ length: 500 }, (_, index) => log.write(eventOf(`r${index + 1}`)));
  release();
  await Promise.all([first, ...others]);
  t.equal(writes, 2, 'all that came meanwhile went out together');
  await log.close();
  t.strictSame(
    requestIds(path),
    Array.from({ length: 501 }, (_, index) => `r${index}`),
    'in the order of the calls',
  );

  const stingy = calls((fd, buffer, offset, length, position, done) => {
    fs.write(fd, buffer, offset, Math.min(length, 7), position, done);
  });
  const again = await openLog(configOf([fileSink(path)]), { files: stingy });
  await again.write(eventOf('last'));
  await again.close();
  t.equal(requestIds(path).at(-1), 'last');
  t.equal(await breakOf(path), undefined);
});

t.test('a full queue refuses whoever fills it and nobody else, and is no failure of the sink', async (t) => {
  const path = join(t.testdir({}), 'audit.jsonl');
  const gate = createGate();
  const release = gate.hold();
  const files = calls(async (fd, buffer, offset, length, position, done) => {
    await gate.open();
    fs.write(fd, buffer, offset, length, position, done);
  });
  const { counts, observe } = counting();
  const log = await openLog(configOf([fileSink(path)], { timeout: 60_000 }), { files, observe });
  const written: Promise<void>[] = [];
  let id = 0;
  const fill = async (priority: Priority): Promise<number> => {
    for (let count = 0; ; count += 1) {
      const big = eventOf(`${priority} ${++id}`, { mcp: { arguments: 'x'.repeat(64_000) } });
      const promise = log.write(big, priority);
      const refused = await Promise.race([promise.then(ignore, (error: unknown) => error), turn()]);
      if (refused !== undefined) {
        t.match(refused, { code: 'overloaded', status: 503, headers: { 'retry-after': '1' } });
        t.match(refused, { detail: { limit: 'audit_queue' } }, 'the record names the limit');
        return count;
      }
      written.push(promise);
    }
  };
  const strangers = await fill('stranger');
  const decisions = await fill('decision');
  t.ok(strangers > 50 && strangers < 90, `${strangers} records of strangers, of 64 KB, find room`);
  t.ok(decisions > 150 && decisions < 200, `and ${decisions} of decisions beside them`);
  for (let more = 0; more < 50; more += 1) written.push(log.write(eventOf(`c${more}`), 'completion'));
  written.push(log.write(eventOf('change', { stage: 'config' })), log.write(eventOf('end', { stage: 'stream' })));
  t.equal(log.healthy(), true, 'the sink is as healthy as before');
  release();
  await Promise.all(written);
  const told = () => linesSoFar(path).find((line) => line.reason === 'overloaded');
  await until(() => told() !== undefined, 'the log tells what it missed');
  t.match(told(), { stage: 'config', detail: { sink: path, missed: 2, since: /^2026-/ } });
  t.equal(log.healthy(), true);
  await log.close();
  t.equal(requestIds(path).length, written.length - 1, 'whatever was taken is there');
  t.match(counts, { written: written.length, failed: 0, shed: 2 });
  t.equal(await breakOf(path), undefined);
});

t.test('fsync always: a record counts only when it is on the disk', async (t) => {
  const path = join(t.testdir({}), 'audit.jsonl');
  const { state, files } = breakable('fdatasync', 'EIO');
  const log = await openLog(configOf([fileSink(path, { fsync: 'always' })]), { files });
  await log.write(eventOf('r1'));
  t.equal(state.syncs, 1);
  state.broken = true;
  await t.rejects(log.write(eventOf('r2')), { code: 'audit_unavailable' });
  state.broken = false;
  await until(() => log.healthy(), 'healthy again');
  await log.write(eventOf('r3'));
  await log.close();
  t.match(requestIds(path).join(), /^r1,(r2,)?r3$/);
  t.equal(await breakOf(path), undefined);
});

t.test('fsync interval: a record counts once the system has it, also while the disk does not', async (t) => {
  const path = join(t.testdir({}), 'audit.jsonl');
  let sync: (() => void) | undefined;
  const fdatasync = ((fd: number, done: fs.NoParamCallback) => {
    sync = () => fs.fdatasync(fd, done);
  }) as typeof fs.fdatasync;
  const files = { ...calls(fs.write as unknown as Write), fdatasync };
  const log = await openLog(configOf([fileSink(path, { fsync: 'interval' })]), { files });
  await log.write(eventOf('r1'));
  await until(() => sync !== undefined, 'a sync is under way');
  await log.write(eventOf('r2'));
  t.strictSame(requestIds(path), ['r1', 'r2']);
  const closed = log.close();
  const syncing = setInterval(() => {
    const due = sync;
    sync = undefined;
    due?.();
  }, 1);
  await closed;
  clearInterval(syncing);
});

t.test('fsync interval: a disk that stops syncing is a failure until a sync works again', async (t) => {
  const path = join(t.testdir({}), 'audit.jsonl');
  const { state, files } = breakable('fdatasync', 'EIO');
  const log = await openLog(configOf([fileSink(path, { fsync: 'interval' })]), { files });
  await log.write(eventOf('r1'));
  await until(() => state.syncs > 0, 'it was synced in the background');
  state.broken = true;
  await log.write(eventOf('r2')).catch(() => {});
  await until(() => !log.healthy(), 'unhealthy');
  const tried = state.syncs;
  await until(() => state.syncs > tried + 3, 'it keeps trying');
  t.equal(log.healthy(), false);
  await t.rejects(log.write(eventOf('r3')), { code: 'audit_unavailable' });
  state.broken = false;
  await until(() => log.healthy(), 'healthy again');
  await log.close();
  t.equal(await breakOf(path), undefined);
});

t.test('fsync interval: after a write that failed, what is written then is synced too', async (t) => {
  const path = join(t.testdir({}), 'audit.jsonl');
  const { state, files } = breakable('write', 'EIO');
  const log = await openLog(configOf([fileSink(path, { fsync: 'interval' })]), { files });
  for (let round = 0; round < 5; round += 1) {
    await log.write(eventOf('r1'));
    state.broken = true;
    await t.rejects(log.write(eventOf('r2')), { code: 'audit_unavailable' });
    state.broken = false;
    await until(() => log.healthy(), 'healthy again');
    await log.write(eventOf('r3'));
    const before = state.syncs;
    await until(() => state.syncs > before, 'it was synced');
  }
  await log.close();
});

t.test('onFailure: continue lets requests pass and counts what is missing', async (t) => {
  const path = join(t.testdir({}), 'audit.jsonl');
  const { state, files } = breakable('write', 'ENOSPC');
  state.broken = true;
  const { counts, observe } = counting();
  const log = await openLog(configOf([fileSink(path)], { onFailure: 'continue' }), { files, observe });
  for (const id of ['r1', 'r2', 'r3']) await log.write(eventOf(id));
  t.equal(counts.failed, 3);
  t.equal(log.healthy(), false);
  state.broken = false;
  await until(() => log.healthy(), 'healthy again');
  await log.close();
  t.match(linesOf(path), [{ seq: 1, reason: 'recovered', detail: { missed: 3 } }]);
});

t.test('an optional sink that fails holds nothing up, is tried again, and a required one has it all', async (t) => {
  const dir = t.testdir({ obstacle: 'a file where a directory should be' });
  const required = join(dir, 'audit.jsonl');
  const optional = join(dir, 'obstacle', 'copy.jsonl');
  const config: AuditConfig = configOf([fileSink(required), fileSink(optional, { required: false })]);
  const { counts, observe } = counting();
  const log = await openLog(config, { observe });
  await log.write(eventOf('r1'));
  t.equal(log.healthy(), true);
  await until(() => counts.failed === 1, 'the copy was tried');
  fs.rmSync(join(dir, 'obstacle'));
  await until(() => linesSoFar(optional).length > 0, 'the copy is there');
  await log.write(eventOf('r2'));
  await log.close();
  t.strictSame(requestIds(required), ['r1', 'r2']);
  t.match(linesOf(optional), [
    { seq: 1, reason: 'recovered', detail: { missed: 1 } },
    { seq: 2, id: 'r2' },
  ]);
  t.equal(await breakOf(required), undefined);
  t.equal(await breakOf(optional), undefined, 'each file verifies by itself');
});

t.test('a promise nobody looks at never becomes an unhandled rejection', async (t) => {
  const path = join(t.testdir({}), 'audit.jsonl');
  const files = calls((_fd, _buffer, _offset, _length, _position, done) => done(failing('EIO')));
  const log = await openLog(configOf([fileSink(path), fileSink(`${path}2`)]), { files });
  void log.write(eventOf('r1'));
  void log.write(eventOf('r2'), 'completion');
  await log.close();
  void log.write(eventOf('r3'));
  await new Promise(setImmediate);
  t.pass('still alive');
});

t.test(
  'config records that could not be written are written when the sink works again, and are not counted as missed',
  async (t) => {
    const path = join(t.testdir({}), 'audit.jsonl');
    const { counts, observe } = counting();
    const { state, files } = breakable('write', 'ENOSPC');
    const log = await openLog(configOf([fileSink(path)]), { files, observe });
    t.equal(log.problem(), undefined);
    state.broken = true;
    await t.rejects(log.write(eventOf('r1')), { code: 'audit_unavailable' });
    for (const id of ['c1', 'c2'])
      await t.rejects(log.write(eventOf(id, { stage: 'config' })), { code: 'audit_unavailable' });
    t.equal(log.problem(), 'audit.sinks[0].path: ENOSPC: injected');
    state.broken = false;
    await until(() => log.healthy(), 'healthy again');
    await log.write(eventOf('r2'));
    await log.close();
    t.match(linesOf(path), [{ reason: 'recovered', detail: { missed: 1 } }, { id: 'c1' }, { id: 'c2' }, { id: 'r2' }]);
    t.equal(await breakOf(path), undefined);
    t.match(counts, { written: 3, failed: 3 });
  },
);
