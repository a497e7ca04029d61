// Hand-over of connections: evenly, within the limits of all workers together, and not lost with a worker that ends.
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { createHandOver, type Take } from '../../src/workers/hand-over.ts';
import { until } from '../support/until.ts';

interface Limits {
  readonly connections?: number;
  readonly connectionsPerAddress?: number;
  readonly receiveTimeout?: number;
  readonly exempt?: boolean;
}

async function startHandOver(
  t: Test,
  { connections = 100, connectionsPerAddress = 100, receiveTimeout = 60_000, exempt = false }: Limits = {},
) {
  const refused: string[] = [];
  const handOver = createHandOver({
    peerAddress: ({ remoteAddress }) => remoteAddress ?? '',
    isExempt: () => exempt,
    limits: () => ({ connections, connectionsPerAddress, receiveTimeout }),
    refused: (reason) => refused.push(reason),
  });
  const server = createServer({ pauseOnConnect: true }, handOver.accept).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  t.teardown(() => {
    handOver.close();
    server.close();
  });
  async function open(): Promise<Socket> {
    const socket = connect(port, '127.0.0.1').on('error', () => {});
    t.teardown(() => socket.destroy());
    await once(socket, 'connect');
    return socket;
  }
  return { handOver, refused, open };
}

/** A worker that takes what it gets, or holds it back. */
function createTaker(holds = false) {
  const taken: number[] = [];
  const held: PromiseWithResolvers<void>[] = [];
  const take: Take = (id) => {
    taken.push(id);
    if (!holds) return Promise.resolve();
    held.push(Promise.withResolvers());
    return held.at(-1)!.promise;
  };
  return { taken, held, take };
}

t.test('two workers get the same number of connections', async (t) => {
  const { handOver, open } = await startHandOver(t);
  const takers = [createTaker(), createTaker()];
  for (const { take } of takers) handOver.add(take);
  for (let count = 0; count < 10; count += 1) await open();
  await until(() => takers.every(({ taken }) => taken.length === 5), 'each has five');
});

t.test('a worker that replaces another one gets connections until it has as many as the rest', async (t) => {
  const { handOver, open } = await startHandOver(t);
  const old = createTaker();
  handOver.add(old.take);
  for (let count = 0; count < 4; count += 1) await open();
  await until(() => old.taken.length === 4, 'the first has four');
  const fresh = createTaker();
  handOver.add(fresh.take);
  for (let count = 0; count < 4; count += 1) await open();
  await until(() => fresh.taken.length === 4, 'the second catches up');
  t.equal(old.taken.length, 4);
});

t.test('a connection on its way to a worker that dies is handed to another one', async (t) => {
  const { handOver, open } = await startHandOver(t);
  const dying = createTaker(true);
  const receiver = handOver.add(dying.take);
  await open();
  await until(() => dying.taken.length === 1, 'it is on its way');
  const other = createTaker();
  handOver.add(other.take);
  dying.held[0]!.reject(new Error('the other process has ended'));
  receiver.remove();
  await until(() => other.taken.length === 1, 'the other worker has it');
  t.same(other.taken, dying.taken);
});

t.test('connections wait while no worker runs, and a worker that hangs gets no second one', async (t) => {
  const { handOver, open } = await startHandOver(t);
  const hanging = createTaker(true);
  const first = await open();
  handOver.add(hanging.take);
  await until(() => hanging.taken.length === 1, 'the one that waited is handed over');
  const other = createTaker();
  handOver.add(other.take);
  await open();
  await open();
  await until(() => other.taken.length === 2, 'the others go to the worker that takes them');
  t.equal(hanging.taken.length, 1);
  t.equal(first.destroyed, false);
});

t.test('connectionsPerAddress: 3 is a limit of all workers together, and a closed connection makes room', async (t) => {
  const { handOver, open, refused } = await startHandOver(t, { connectionsPerAddress: 3 });
  const takers = [createTaker(), createTaker()];
  const receivers = takers.map(({ take }) => handOver.add(take));
  for (let count = 0; count < 3; count += 1) await open();
  const beyond = await open();
  await once(beyond, 'close');
  t.same(refused, ['connections_per_address']);
  receivers[0]!.closed(takers[0]!.taken[0]!);
  await open();
  await until(() => takers[0]!.taken.length + takers[1]!.taken.length === 4, 'the next one is handed over');
});

t.test(
  'connections: 2 is a limit of all, also of addresses that are exempt, and a worker that dies frees its share',
  async (t) => {
    const { handOver, open, refused } = await startHandOver(t, {
      connections: 2,
      connectionsPerAddress: 1,
      exempt: true,
    });
    const taker = createTaker();
    const receiver = handOver.add(taker.take);
    await open();
    await open();
    await once(await open(), 'close');
    t.same(refused, ['overloaded']);
    await until(() => receiver.size() === 2, 'it has two');
    receiver.remove();
    const next = createTaker();
    handOver.add(next.take);
    await open();
    await open();
    await until(() => next.taken.length === 2, 'there is room for two again');
  },
);

t.test('a worker that retires keeps what it has and gets no more', async (t) => {
  const { handOver, open } = await startHandOver(t);
  const leaving = createTaker();
  const receiver = handOver.add(leaving.take);
  await open();
  await until(() => leaving.taken.length === 1, 'it has one');
  receiver.retire();
  await open();
  const other = createTaker();
  handOver.add(other.take);
  await until(() => other.taken.length === 1, 'the next one waits for another worker');
  t.equal(receiver.size(), 1);
});

t.test(
  'a burst of 80 connections to a worker that is stopped for a while: 32 are on their way, the rest waits',
  async (t) => {
    const { handOver, open } = await startHandOver(t);
    const slow = createTaker(true);
    const receiver = handOver.add(slow.take);
    for (let count = 0; count < 80; count += 1) await open();
    await until(() => slow.taken.length === 32, 'so many are on their way');
    t.equal(receiver.size(), 32);
    slow.held[0]!.resolve();
    await until(() => slow.taken.length === 33, 'one that is taken makes room for the next one');
    for (let next = 1; next < 80; next += 1) {
      await until(() => slow.held.length > next, 'it is on its way');
      slow.held[next]!.resolve();
    }
    t.same(
      slow.taken,
      [...slow.taken.keys()].map((index) => index + 1),
      'in the order in which they came',
    );
  },
);

t.test(
  'receiveTimeout: 20 is the longest wait for a worker; then the connection is closed and makes room',
  async (t) => {
    const { handOver, open, refused } = await startHandOver(t, { connections: 1, receiveTimeout: 20 });
    await once(await open(), 'close');
    t.same(refused, ['overloaded']);
    const taker = createTaker();
    handOver.add(taker.take);
    await open();
    await until(() => taker.taken.length === 1, 'the next one has its place');
    t.same(taker.taken, [2], 'no worker got the one whose client may have left');
  },
);

t.test('a connection on its way is not closed by receiveTimeout, and waits anew when its worker dies', async (t) => {
  const { handOver, open, refused } = await startHandOver(t, { receiveTimeout: 20 });
  const dying = createTaker(true);
  const receiver = handOver.add(dying.take);
  const client = await open();
  await until(() => dying.taken.length === 1, 'it is on its way');
  const closed = once(client, 'close');
  // Later than its bound: the timer of another one has run.
  const other = await startHandOver(t, { receiveTimeout: 60 });
  await once(await other.open(), 'close');
  t.same(refused, []);
  dying.held[0]!.reject(new Error('the other process has ended'));
  receiver.remove();
  await closed;
  t.same(refused, ['overloaded'], 'once');
});
