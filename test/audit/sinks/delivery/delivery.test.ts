// Delivery of records: order, retries with backoff and jitter, batches that are halved, records that a receiver refuses for good.
import t from 'tap';
import { DeliveryFailure, type Transport } from '../../../../src/audit/sinks/delivery/transport.ts';
import { until } from '../../../support/until.ts';
import { createReceiver, createTarget, idsOf, write } from './support.ts';

const away = () => {
  throw new DeliveryFailure('again', 'nobody answers');
};
const many = (count: number) => Array.from({ length: count }, (_, index) => `r${index}`);
/** Records with these ids are refused for good, with whatever is in a batch with them. */
const refuses =
  (...poison: string[]) =>
  (ids: readonly string[]) => {
    if (ids.some((id) => poison.includes(id))) throw new DeliveryFailure('refused', 'answered 400');
  };

t.test('a required record is written once its batch is acknowledged, after retries in order', async (t) => {
  let failures = 3;
  const receiver = createReceiver(() => {
    if (failures-- > 0) away();
  });
  const { target, pauses } = createTarget(receiver.transport, { required: true });
  await write(target, 'r1', 'r2');
  t.same(receiver.taken, ['r1', 'r2']);
  t.same(pauses, [100, 200, 400], 'the longest pauses that the jitter allows');
  await write(target, 'r3');
  t.same(receiver.taken, ['r1', 'r2', 'r3']);
  await target.close();
});

t.test('the pauses grow to ten seconds at most, and Retry-After comes on top', async (t) => {
  const answers = [...Array(9).fill(0), 30_000, 7_200_000];
  const receiver = createReceiver(() => {
    const retryAfterMs = answers.shift();
    if (retryAfterMs !== undefined) throw new DeliveryFailure('again', 'answered 503', { retryAfterMs });
  });
  const { target, pauses } = createTarget(receiver.transport, { required: true, random: () => 0.5 });
  await write(target, 'r1');
  t.same(pauses, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 35_000, 305_000]);
  await target.close();
});

t.test('413: the batch is halved until it fits, and grows again', async (t) => {
  const receiver = createReceiver((ids) => {
    if (ids.length > 3) throw new DeliveryFailure('too_large', 'answered 413');
  });
  const { target, lost } = createTarget(receiver.transport, { required: true });
  await write(target, ...many(16));
  t.same(receiver.taken, many(16));
  t.ok(receiver.tries.length < 20, `${receiver.tries.length} requests`);
  t.same(lost, []);
  await target.close();
});

t.test(
  '400 for one poisoned record of a required sink: the others arrive, the batch is refused, the gap is stated',
  async (t) => {
    const receiver = createReceiver(refuses('r5'));
    const { target, lost } = createTarget(receiver.transport, { required: true });
    await t.rejects(write(target, ...many(9)), { message: /refuses a record: answered 400/ });
    t.same(
      receiver.taken,
      many(9).filter((id) => id !== 'r5'),
    );
    const events = await write(target, 'next');
    t.match(events, [
      { reason: 'receiver_refused', detail: { record: { seq: 6, hash: /^[0-9a-f]{64}$/ }, kept: false } },
    ]);
    t.same(receiver.taken.at(-1), 'next');
    t.same(lost, [['refused', 1]]);
    await target.close();
  },
);

t.test(
  '400 for a lone record of a required sink: it is not in the chain, and the next record takes its number',
  async (t) => {
    const receiver = createReceiver(refuses('r1'));
    const { target } = createTarget(receiver.transport, { required: true });
    await t.rejects(write(target, 'r1'), { message: 'answered 400' });
    t.equal((await target.prepare()).head.seq, 0);
    await write(target, 'r2');
    t.same(receiver.taken, ['r2']);
    await target.close();
  },
);

t.test('400 for everything: records wait, as the fault is not in them', async (t) => {
  const receiver = createReceiver(() => {
    throw new DeliveryFailure('refused', 'answered 400');
  });
  const { target, lost, pauses } = createTarget(receiver.transport);
  await write(target, 'r1', 'r2', 'r3');
  await until(() => pauses.length > 3);
  t.match(target.delivery!(), { problem: 'answered 400' });
  t.same(lost, []);
  receiver.answer = () => {};
  await until(() => target.delivery!().bytes === 0);
  t.same(receiver.taken, ['r1', 'r2', 'r3']);
  t.equal(target.delivery!().problem, undefined);
  await target.close();
});

t.test('a poisoned record of a queue goes once another record is taken, and is told', async (t) => {
  const receiver = createReceiver(refuses('r1'));
  const { target, lost, pauses } = createTarget(receiver.transport);
  await write(target, 'r1');
  await until(() => pauses.length > 2);
  t.same(lost, [], 'alone it may be the receiver that is at fault');
  await write(target, 'r2');
  await until(() => target.delivery!().bytes === 0);
  t.same(receiver.taken, ['r2']);
  t.same(lost, [['refused', 1]]);
  t.match(await write(target, 'r3'), [{ reason: 'receiver_refused', detail: { record: { seq: 1 } } }]);
  await target.close();
});

t.test('a full queue in memory refuses the newest records, and its chain has no gap', async (t) => {
  const receiver = createReceiver(away);
  const { target } = createTarget(receiver.transport);
  const big = 'x'.repeat(1024 * 1024);
  for (let count = 0; count < 15; count += 1) await write(target, big);
  await t.rejects(write(target, big), { message: /no more fit/ });
  await write(target, 'small');
  receiver.answer = () => {};
  await until(() => target.delivery!().bytes === 0);
  t.equal(receiver.taken.length, 16);
  t.equal((await target.prepare()).head.seq, 16);
  await target.close();
});

t.test(
  'a queue in memory is delivered at the stop; behind a receiver that is away it is lost, and counted',
  async (t) => {
    const receiver = createReceiver();
    const { target } = createTarget(receiver.transport);
    await write(target, 'r1');
    await target.close();
    t.same(receiver.taken, ['r1']);
    const gone = createTarget(createReceiver(away).transport);
    await write(gone.target, 'r1', 'r2');
    await until(() => gone.pauses.length > 0);
    await gone.target.close();
    t.same(gone.lost, [['stopped', 2]]);
  },
);

t.test('an abort ends a required write that no answer ends', async (t) => {
  const receiver = createReceiver(
    (_ids, signal) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
      }),
  );
  const { target } = createTarget(receiver.transport, { required: true });
  const written = write(target, 'r1');
  await until(() => receiver.tries.length === 1);
  target.abort!();
  await t.rejects(written, { message: 'the sink is closed' });
  await target.close();
});

/** A protocol without acknowledgements: bytes that are on their way are lost when the connection breaks. */
function createStream() {
  const stream = { breaks: 0, read: [] as string[], onWay: [] as string[], flushes: 0 };
  const fail = () => {
    if (stream.breaks === 0) return;
    stream.breaks -= 1;
    stream.onWay = [];
    throw new Error('the connection broke');
  };
  const transport: Transport = {
    async send(lines) {
      fail();
      stream.onWay.push(...idsOf(lines));
    },
    async flush() {
      fail();
      stream.flushes += 1;
      stream.read.push(...stream.onWay.splice(0));
    },
    close: async () => {},
  };
  return { stream, transport };
}

t.test('without acknowledgements all since the last flush is sent again before anything new', async (t) => {
  const { stream, transport } = createStream();
  const { target } = createTarget(transport, { required: true });
  await write(target, 'r1');
  await write(target, 'r2');
  stream.breaks = 1;
  await write(target, 'r3');
  stream.breaks = 1;
  await target.tick(async () => {});
  t.same(stream.read, ['r1', 'r2', 'r3']);
  await write(target, 'r4');
  await target.close();
  t.same(stream.read, ['r1', 'r2', 'r3', 'r4'], 'a stop flushes');
});

t.test('without acknowledgements a queue keeps its records until they are flushed', async (t) => {
  const { stream, transport } = createStream();
  const { target } = createTarget(transport);
  stream.breaks = 2;
  await write(target, 'r1', 'r2');
  await until(() => target.delivery!().bytes === 0);
  t.same(stream.read, ['r1', 'r2']);
  await target.close();
});
