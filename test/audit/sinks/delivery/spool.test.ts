// Spool of records on the disk: restarts, torn, corrupt and removed segments, its bound, a full disk, and the position that is saved.
import fs from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { DeliveryFailure } from '../../../../src/audit/sinks/delivery/transport.ts';
import type { FileCalls } from '../../../../src/audit/sinks/file/append-file.ts';
import type { TargetRuntime } from '../../../../src/audit/sinks/sink-type.ts';
import { until } from '../../../support/until.ts';
import { silent, someTime } from '../../support.ts';
import { createReceiver, createTarget, write } from './support.ts';

const away = () => {
  throw new DeliveryFailure('again', 'nobody answers');
};
const spoolIn = (path: string, bytes = 1024 * 1024) => ({ path, bytes, fsync: 'never' as const });
const segmentsIn = (path: string) => fs.readdirSync(path).filter((name) => /^\d+\.jsonl$/.test(name));
const ids = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => `r${from + index}`);

/** A target that is opened, without a record. */
async function open(
  receiver: ReturnType<typeof createReceiver>,
  path: string,
  bytes?: number,
  more: Partial<TargetRuntime> = {},
) {
  const made = createTarget(receiver.transport, { spool: spoolIn(path, bytes), ...more });
  const { events, head } = await made.target.prepare();
  return { ...made, events, head, settled: () => until(() => made.target.delivery!().bytes === 0) };
}

t.test('records wait on the disk while the receiver is away, also over a restart, and arrive in order', async (t) => {
  const path = join(t.testdir({}), 'spool');
  const first = await open(createReceiver(away), path);
  await write(first.target, 'r1', 'r2');
  await first.target.close();
  const receiver = createReceiver();
  const second = await open(receiver, path);
  t.equal(second.head.seq, 2, 'the chain goes on');
  await write(second.target, 'r3');
  await second.settled();
  t.same(receiver.taken, ['r1', 'r2', 'r3']);
  await second.target.close();
  const third = await open(receiver, path);
  t.equal(third.head.seq, 3);
  await write(third.target, 'r4');
  await third.settled();
  t.same(receiver.taken, ['r1', 'r2', 'r3', 'r4'], 'nothing is delivered again after a stop');
  await third.target.close();
});

t.test('a killed process: what the position does not tell is delivered again, with the same hashes', async (t) => {
  const path = join(t.testdir({}), 'spool');
  const receiver = createReceiver();
  const first = await open(receiver, path);
  await write(first.target, 'r1', 'r2');
  await first.settled();
  const killed = join(t.testdirName, 'killed');
  fs.cpSync(path, killed, { recursive: true, filter: (name) => !name.endsWith('.lock') });
  await first.target.close();
  const second = await open(receiver, killed);
  await write(second.target, 'r3');
  await second.settled();
  t.same(receiver.taken, ['r1', 'r2', 'r1', 'r2', 'r3']);
  t.same(new Set(receiver.hashes).size, 3);
  await second.target.close();
});

t.test('a torn last line is cut, told, and its number used again', async (t) => {
  const path = join(t.testdir({}), 'spool');
  const first = await open(createReceiver(away), path);
  await write(first.target, 'r1', 'r2');
  await first.target.close();
  const [name] = segmentsIn(path) as [string];
  const file = join(path, name);
  fs.truncateSync(file, fs.statSync(file).size - 7);
  const receiver = createReceiver();
  const second = await open(receiver, path);
  t.match(second.events, [{ reason: 'repaired', detail: { path: file } }]);
  t.equal(second.head.seq, 1);
  await write(second.target, 'r3');
  await second.settled();
  t.same(receiver.taken, ['r1', 'r3']);
  t.same(second.lost, []);
  await second.target.close();
});

t.test('an altered record is left out, named and counted; its segment is kept, and the others arrive', async (t) => {
  const path = join(t.testdir({}), 'spool');
  const first = await open(createReceiver(away), path);
  await write(first.target, 'r1', 'r2', 'r3');
  await first.target.close();
  const [name] = segmentsIn(path) as [string];
  const file = join(path, name);
  fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('"r2"', '"rX"'));
  const receiver = createReceiver();
  const second = await open(receiver, path);
  await second.settled();
  t.same(receiver.taken, ['r1', 'r3']);
  t.same(second.lost, [['corrupt', 1]]);
  const events = await write(second.target, 'r4');
  t.match(events, [{ reason: 'spool_corrupt', detail: { path: `${file}.corrupt`, records: 1 } }]);
  t.match(fs.readFileSync(`${file}.corrupt`, 'utf8'), '"rX"');
  await second.target.close();
});

t.test(
  'damage at the end: a copy of the segment is kept, and the chain goes on from the last sound record',
  async (t) => {
    const path = join(t.testdir({}), 'spool');
    const first = await open(createReceiver(away), path);
    await write(first.target, 'r1', 'r2', 'r3');
    await first.target.close();
    const [name] = segmentsIn(path) as [string];
    const file = join(path, name);
    fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('"r2"', '"rX"').replace('"r3"', '"rY"'));
    fs.rmSync(join(path, 'position.json'), { force: true });
    const receiver = createReceiver();
    const second = await open(receiver, path);
    t.match(second.events, [{ reason: 'spool_corrupt', detail: { records: 2 } }]);
    t.equal(second.head.seq, 1);
    t.same(second.lost, [['corrupt', 2]]);
    await second.settled();
    t.same(receiver.taken, ['r1']);
    await second.target.close();
  },
);

t.test('a position that cannot be read: all is delivered once more', async (t) => {
  const path = join(t.testdir({}), 'spool');
  const first = await open(createReceiver(), path);
  await write(first.target, 'r1');
  await first.settled();
  await first.target.close();
  fs.writeFileSync(join(path, 'position.json'), '{"segment":');
  const receiver = createReceiver();
  const second = await open(receiver, path);
  t.match(second.events, [{ reason: 'repaired' }]);
  await second.settled();
  t.same(receiver.taken, ['r1']);
  await second.target.close();
});

t.test(
  'spool of 64KiB: beyond it the newest records are refused, segments go once delivered, and the chain has no gap',
  async (t) => {
    const path = join(t.testdir({}), 'spool');
    const bytes = 64 * 1024;
    const receiver = createReceiver(away);
    const { target, settled } = await open(receiver, path, bytes);
    let count = 0;
    const fill = async () => {
      for (;;) {
        await write(target, `r${count}`);
        count += 1;
      }
    };
    await t.rejects(fill(), { message: /65536 bytes .* no more fit/ });
    const held = fs.readdirSync(path).reduce((sum, name) => sum + fs.statSync(join(path, name)).size, 0);
    t.ok(held <= bytes + 1024, `${held} bytes, with the lock`);
    t.ok(segmentsIn(path).length > 4);
    receiver.answer = () => {};
    await settled();
    await until(() => segmentsIn(path).length <= 1);
    await write(target, `r${count}`);
    await settled();
    t.same(receiver.taken, ids(0, count + 1));
    await target.close();
    const { target: next, head } = await open(receiver, path, bytes);
    t.equal(head.seq, count + 1);
    await next.close();
  },
);

t.test('a spool of another process is not touched', async (t) => {
  const path = join(t.testdir({}), 'spool');
  const { target } = await open(createReceiver(), path);
  await t.rejects(open(createReceiver(), path), { message: /is being written by process/ });
  await target.close();
});

t.test('a record that is refused for good is set aside', async (t) => {
  const path = join(t.testdir({}), 'spool');
  const receiver = createReceiver((batch) => {
    if (batch.includes('r2')) throw new DeliveryFailure('refused', 'answered 400');
  });
  const { target, settled } = await open(receiver, path);
  await write(target, 'r1', 'r2', 'r3');
  await settled();
  t.same(receiver.taken, ['r1', 'r3']);
  t.match(JSON.parse(fs.readFileSync(join(path, 'refused.jsonl'), 'utf8')), { seq: 2, id: 'r2' });
  t.match(await write(target, 'r4'), [{ reason: 'receiver_refused', detail: { kept: true, record: { seq: 2 } } }]);
  await target.close();
});

t.test(
  'the folder is removed under a healthy receiver: what waited is counted and told, and the next records arrive',
  async (t) => {
    const path = join(t.testdir({}), 'spool');
    const receiver = createReceiver();
    const { lost, settled, target } = await open(receiver, path);
    await write(target, 'r1', 'r2');
    await settled();
    fs.rmSync(path, { recursive: true });
    await write(target, 'r3');
    await settled();
    t.same(lost, [['removed', 1]]);
    const events = await write(target, 'r4');
    t.match(events, [{ reason: 'spool_removed', detail: { sink: 'receiver', path, records: 1 } }]);
    await settled();
    t.same(receiver.taken, ['r1', 'r2', 'r4']);
    t.same(segmentsIn(path), ['000000000002.jsonl']);
    t.match(target.delivery!(), { bytes: 0, problem: undefined });
    await target.close();
    const { head, target: next } = await open(receiver, path);
    t.equal(head.seq, 4, 'the chain goes on');
    await next.close();
  },
);

t.test(
  'the folder is removed while the receiver is away: a tick tells, the batch on its way is not counted as lost',
  async (t) => {
    const path = join(t.testdir({}), 'spool');
    const first = await open(createReceiver(away), path);
    await write(first.target, 'r1', 'r2');
    await first.target.close();
    const receiver = createReceiver(away);
    const { lost, settled, target } = await open(receiver, path);
    await until(() => receiver.tries.length > 0);
    await write(target, 'r3', 'r4');
    fs.renameSync(path, join(t.testdirName, 'elsewhere'));
    await target.tick(async () => {});
    t.same(lost, [['removed', 2]]);
    await target.tick(async () => {});
    t.same(lost, [['removed', 2]], 'told once');
    t.match(await write(target, 'r5'), [{ reason: 'spool_removed', detail: { records: 2 } }]);
    receiver.answer = () => {};
    await settled();
    t.same(receiver.taken, ['r1', 'r2', 'r5']);
    await target.close();
  },
);

t.test('the lag begins with the record, also where the spool cannot be read', async (t) => {
  const path = join(t.testdir({}), 'spool');
  const fdatasync = ((_fd: number, done: fs.NoParamCallback) => done(new Error('EIO'))) as FileCalls['fdatasync'];
  const { pauses, target } = createTarget(createReceiver().transport, {
    spool: { ...spoolIn(path), fsync: 'interval' },
    files: { ...fs, fdatasync },
  });
  await write(target, 'r1');
  await until(() => pauses.length > 1);
  t.match(target.delivery!(), { since: someTime, problem: 'the records are not on the disk' });
  await target.close();
});

/** A disk with so much room for the segments in the folder. */
function diskOf(room: number, path: string): FileCalls {
  const write = (
    fd: number,
    bytes: Buffer,
    from: number,
    length: number,
    at: null,
    done: (...all: unknown[]) => void,
  ) => {
    const used = segmentsIn(path).reduce((sum, name) => sum + fs.statSync(join(path, name)).size, 0);
    const left = Math.min(length, room - used);
    if (left > 0) fs.write(fd, bytes, from, left, at, done);
    else done(Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' }));
  };
  return { ...fs, write: write as unknown as FileCalls['write'] };
}

t.test(
  'a disk that is smaller than a segment: what is delivered makes room, with each record and after an outage',
  async (t) => {
    const path = join(t.testdir({}), 'spool');
    const receiver = createReceiver();
    const { lost, settled, target } = await open(receiver, path, undefined, { files: diskOf(4096, path) });
    for (const id of ids(0, 30)) {
      await write(target, id);
      await settled();
    }
    receiver.answer = away;
    let count = 30;
    const fill = async () => {
      for (;;) {
        await write(target, `r${count}`);
        count += 1;
      }
    };
    await t.rejects(fill(), { code: 'ENOSPC' });
    t.ok(count > 30, `${count} records`);
    receiver.answer = () => {};
    await settled();
    await write(target, `r${count}`);
    await settled();
    t.same(receiver.taken, ids(0, count + 1));
    t.same(lost, []);
    await target.close();
    const { head, target: next } = await open(receiver, path);
    t.equal(head.seq, count + 1, 'the chain has no gap, and goes on');
    await next.close();
  },
);

t.test('a position that cannot be saved is one line in the log', async (t) => {
  const path = join(t.testdir({}), 'spool');
  const told: unknown[] = [];
  const log = { ...silent, error: (...all: unknown[]) => void told.push(all) } as unknown as TargetRuntime['log'];
  const { settled, target } = await open(createReceiver(), path, undefined, { log });
  fs.mkdirSync(join(path, 'position.json'));
  await write(target, 'r1');
  await settled();
  for (let ticks = 0; ticks < 4; ticks += 1) await target.tick(async () => {});
  await target.close();
  t.match(told, [[{ path, problem: /not a regular file/ }, 'the position of the spool cannot be saved']]);
  t.equal(told.length, 1);
});
