// Drain after disconnect: the upstream's request of a client that has left.
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import t, { type Test } from 'tap';
import type { GatewayError } from '../../src/errors.ts';
import type { ForwardResult } from '../../src/upstream/forward.ts';
import { ask, configOf, open, startForwarder } from '../support/forwarder.ts';
import { until, untilAtRest } from '../support/until.ts';
import { startUpstream } from '../support/upstream.ts';

async function behind(t: Test, upstreamOptions: object = {}) {
  const answering = Promise.withResolvers<ServerResponse>();
  const draining = new Set<() => void>();
  const upstream = await startUpstream({ reply: (_request, response) => answering.resolve(response) });
  const forwarder = await startForwarder(configOf(upstream.url, { upstream: upstreamOptions }), {
    drain(abort) {
      draining.add(abort);
      return () => draining.delete(abort);
    },
  });
  t.teardown(async () => {
    for (const giveUp of draining) giveUp();
    await forwarder.close();
    await upstream.close();
  });
  /** What the client got, once the answer has begun. */
  let answered: Promise<IncomingMessage> | undefined;
  async function call(): Promise<ServerResponse> {
    answered = open(forwarder.port, { method: 'POST', body: '{}' });
    answered.catch(() => {});
    return answering.promise;
  }
  return { upstream, forwarder, draining, call, answering: answering.promise, answered: () => answered };
}

const aborted = { outcome: 'aborted', failure: undefined };

type Scene = Awaited<ReturnType<typeof behind>>;

/** The client goes: the exchange is over, and the upstream goes on. */
async function leave({ forwarder, draining }: Scene): Promise<ForwardResult> {
  forwarder.dropClients();
  await forwarder.settled(1);
  await until(() => draining.size === 1);
  return forwarder.results[0] as ForwardResult;
}

t.test('a client that leaves before the head: the answer is still taken, whole', async (t) => {
  const scene = await behind(t);
  const response = await scene.call();
  const result = await leave(scene);
  t.match(result, { ...aborted, status: undefined, bytes: 0 });
  response.writeHead(200, { 'content-type': 'application/json' });
  response.write('{"half":');
  response.end('true}');
  await until(() => scene.draining.size === 0);
  await until(() => response.writableFinished);
  t.notOk(scene.upstream.requests[0]!.aborted);
  t.equal(scene.draining.size, 0);
});

t.test('a client that leaves in the middle of a stream: the rest is read, also where it was held back', async (t) => {
  const scene = await behind(t, { limits: { responseBytes: '1GiB' } });
  const response = await scene.call();
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  // More than the buffers on the way hold: the upstream is paused when the client goes.
  response.write(`data: ${'x'.repeat(30_000_000)}\n\n`);
  await untilAtRest(() => response.writableLength, 'the upstream');
  t.ok(response.writableLength > 0, 'it is paused');
  const result = await leave(scene);
  t.match(result, { ...aborted, status: 200 });
  response.end('data: last\n\n');
  await until(() => scene.draining.size === 0);
  await until(() => response.writableFinished);
  t.notOk(scene.upstream.requests[0]!.aborted, 'the upstream could say all it had');
});

t.test('it is given up after firstByte, counted from when the client left', async (t) => {
  const scene = await behind(t, { timeouts: { firstByte: '300ms' } });
  const response = await scene.call();
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write('data: 1\n\n');
  await scene.answered();
  await leave(scene);
  const pings = setInterval(() => response.write(': ping\n\n'), 20);
  await until(() => scene.draining.size === 0);
  clearInterval(pings);
  await until(() => scene.upstream.requests[0]!.aborted);
});

t.test('it is given up when the answer is larger than an answer may be', async (t) => {
  const scene = await behind(t, { limits: { responseBytes: '100KiB' } });
  const response = await scene.call();
  await leave(scene);
  response.writeHead(200);
  response.write(Buffer.alloc(90_000));
  response.write(Buffer.alloc(90_000));
  await until(() => scene.draining.size === 0);
  await until(() => scene.upstream.requests[0]!.aborted);
});

t.test('it is given up by whoever stops the gateway, and ends with an upstream that breaks off', async (t) => {
  const first = await behind(t);
  await first.call();
  await leave(first);
  for (const giveUp of first.draining) giveUp();
  await until(() => first.draining.size === 0);
  await until(() => first.upstream.requests[0]!.aborted);

  const second = await behind(t);
  const response = await second.call();
  await leave(second);
  response.destroy();
  await until(() => second.draining.size === 0);
  t.equal(second.upstream.requests.length, 1, 'and is never sent again');
});

t.test(
  'an answer that is larger than allowed is refused by its length, or cut where it passes the limit',
  async (t) => {
    const limits = { limits: { responseBytes: '1KiB' } };
    const announced = await behind(t, limits);
    const asking = ask(announced.forwarder.port, { method: 'POST', body: '{}' });
    const response = await announced.answering;
    response.writeHead(200, { 'content-length': 1025 });
    response.end(Buffer.alloc(1025));
    t.match(await asking, { status: 502, headers: { 'x-code': 'bad_upstream' } });
    t.equal((announced.forwarder.results[0] as GatewayError).reason, 'too_large');

    const chunked = await behind(t, limits);
    const cutting = open(chunked.forwarder.port, { method: 'POST', body: '{}' });
    const chunks = await chunked.answering;
    chunks.writeHead(200, { 'content-type': 'text/event-stream' });
    chunks.write(`data: ${'x'.repeat(1000)}\n\n`);
    const answer = await cutting;
    answer.on('error', () => {});
    await once(answer, 'data');
    chunks.write('data: and twenty more bytes\n\n');
    await t.rejects(once(answer, 'end'));
    await chunked.forwarder.settled(1);
    t.match(chunked.forwarder.results, [{ outcome: 'failed', failure: 'too_large', bytes: 1008 }]);
  },
);

t.test('a stream that answers a GET may go on for ever, but no event of it may be larger', async (t) => {
  const upstream = await startUpstream({
    async reply(_request, response) {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      for (let index = 0; index < 20; index += 1) {
        response.write(`data: ${'x'.repeat(500)}\n\n`);
        await new Promise((resolve) => setImmediate(resolve));
      }
      response.write(`data: ${'y'.repeat(1100)}`);
    },
  });
  const forwarder = await startForwarder(configOf(upstream.url, { upstream: { limits: { responseBytes: '1KiB' } } }));
  t.teardown(async () => {
    await forwarder.close();
    await upstream.close();
  });
  const answer = await open(forwarder.port);
  answer.on('error', () => {}).resume();
  await forwarder.settled(1);
  t.match(forwarder.results, [{ outcome: 'failed', failure: 'too_large' }]);
  t.ok((forwarder.results[0] as ForwardResult).bytes > 10_000, 'what came before passed');
});
