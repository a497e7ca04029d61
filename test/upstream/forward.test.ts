// Forwarding of a request: bodies, streams, connections, backpressure and clients that leave.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { createNamedFiles } from '../../src/named-files.ts';
import { dispatch, type ForwardOptions, type ForwardResult, forward } from '../../src/upstream/forward.ts';
import type { Transfer } from '../../src/upstream/transfer.ts';
import { createUpstream } from '../../src/upstream/upstream.ts';
import { ask, configOf, open, startForwarder } from '../support/forwarder.ts';
import { until, untilAtRest } from '../support/until.ts';
import { faults, type RawReply, type Reply, startRawUpstream, startUpstream } from '../support/upstream.ts';

type Options = ForwardOptions & {
  readonly path?: string;
  readonly upstream?: object;
  readonly mcp?: object;
  readonly closeFirst?: boolean;
};

async function behind(t: Test, reply: Reply | undefined, options: Options = {}) {
  const upstream = await startUpstream(reply && { reply });
  const forwarder = await startForwarder(configOf(upstream.url + (options.path ?? ''), options), options);
  t.teardown(async () => {
    await forwarder.close();
    await upstream.close();
  });
  return { upstream, forwarder };
}

async function behindRaw(t: Test, reply: RawReply, options: Options = {}) {
  const upstream = await startRawUpstream(reply);
  const forwarder = await startForwarder(configOf(upstream.url, options), options);
  t.teardown(async () => {
    await forwarder.close();
    await upstream.close();
  });
  return { upstream, forwarder };
}

t.test(
  'the upstream receives exactly the judged bytes, path and Host, and the client exactly its answer',
  async (t) => {
    const payload = randomBytes(300_000);
    const { upstream, forwarder } = await behind(
      t,
      (request, response) => {
        response.writeHead(201, 'Made', { 'content-type': 'application/octet-stream' });
        response.end(request.body);
      },
      { path: '/base/' },
    );
    const answer = await ask(forwarder.port, { method: 'POST', path: '/mcp?a=%20b', body: payload });
    t.equal(answer.status, 201);
    t.equal(digest(answer.body), digest(payload));
    const [request] = upstream.requests;
    t.match(request, { method: 'POST', url: '/base/mcp?a=%20b' });
    t.equal(digest(request!.body), digest(payload));
    t.same(request!.header('host'), [`127.0.0.1:${upstream.port}`]);
    t.same(request!.header('content-length'), ['300000']);
    t.same(request!.header('x-forwarded-user'), ['agent@clients']);
    t.match(forwarder.results, [{ status: 201, bytes: 300_000, outcome: 'completed', failure: undefined }]);
    t.ok((forwarder.results[0] as ForwardResult).firstByteMs! > 0);
  },
);

t.test('connections are kept alive and used again', async (t) => {
  const { upstream, forwarder } = await behind(t, undefined);
  for (let index = 0; index < 5; index += 1) await ask(forwarder.port, { method: 'POST', body: '{}' });
  t.equal(upstream.requests.length, 5);
  t.equal(upstream.connections(), 1);
});

t.test('HEAD, 204, 304 and an empty POST have no body and end cleanly', async (t) => {
  const { upstream, forwarder } = await behind(t, (request, response) => {
    const status = Number(request.url.slice(1));
    response.writeHead(status, status === 200 ? { 'content-length': 7 } : { etag: '"a"' });
    response.end(request.method === 'HEAD' || status !== 200 ? undefined : 'content');
  });
  const head = await ask(forwarder.port, { method: 'HEAD', path: '/200' });
  t.match(head, { status: 200, headers: { 'content-length': '7' }, complete: true });
  t.match(await ask(forwarder.port, { path: '/204' }), { status: 204, complete: true });
  t.match(await ask(forwarder.port, { path: '/304' }), { status: 304, headers: { etag: '"a"' }, complete: true });
  t.match(await ask(forwarder.port, { method: 'POST', path: '/200' }), { status: 200, complete: true });
  t.same(upstream.requests[3]!.header('content-length'), ['0']);
  t.same(
    forwarder.results.map((result) => (result as ForwardResult).bytes),
    [0, 0, 0, 7],
  );
});

t.test('redirects are relayed and never followed', async (t) => {
  const { upstream, forwarder } = await behind(t, (_request, response) => {
    response.writeHead(302, { location: 'http://169.254.169.254/latest/meta-data/' }).end();
  });
  const answer = await ask(forwarder.port);
  t.match(answer, { status: 302, headers: { location: 'http://169.254.169.254/latest/meta-data/' } });
  t.equal(upstream.requests.length, 1);
});

t.test('events of a stream arrive one by one, the head before the first of them', async (t) => {
  const gate = Promise.withResolvers<void>();
  const next = Promise.withResolvers<void>();
  const seen: unknown[] = [];
  const { forwarder } = await behind(
    t,
    async (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' });
      response.flushHeaders();
      await gate.promise;
      response.write('id: 1\ndata: one\n\n');
      await next.promise;
      response.end(': bye\n\n');
    },
    {
      extraHeaders: { 'x-request-id': 'r' },
      onResponseStart: (status, stream) => seen.push([status, stream !== undefined]),
    },
  );
  const answer = await open(forwarder.port);
  t.match(answer.headers, { 'content-type': 'text/event-stream', 'x-accel-buffering': 'no', 'x-request-id': 'r' });
  t.same(seen, [[200, true]]);
  gate.resolve();
  t.equal(String((await once(answer, 'data'))[0]), 'id: 1\ndata: one\n\n');
  next.resolve();
  t.equal(String((await once(answer, 'data'))[0]), ': bye\n\n');
  await forwarder.settled(1);
  t.match(forwarder.results, [{ outcome: 'completed', bytes: 24 }]);
});

t.test('an open stream keeps nothing of the head that its client has', async (t) => {
  const upstream = await startUpstream({
    reply(_request, response) {
      response.writeHead(200, { 'content-type': 'text/event-stream', 'x-build': '1' });
      response.write('data: one\n\n');
    },
  });
  const target = createUpstream('up', configOf(upstream.url).upstreams.up!, createNamedFiles(new Map()), Date.now);
  const transfers: Transfer[] = [];
  const server = createServer((_request, response) => {
    const request = { method: 'GET', path: '/', publicTarget: '/', headers: [], body: null };
    void forward(target, request, response, {}, (transfer) => {
      transfers.push(transfer);
      dispatch(transfer);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const answer = await open((server.address() as AddressInfo).port);
  t.match(answer.headers, { 'content-type': 'text/event-stream', 'x-build': '1' });
  t.equal(String((await once(answer, 'data'))[0]), 'data: one\n\n');
  t.match(transfers, [{ attempts: 1, controller: { rawHeaders: null } }]);
  answer.destroy();
  server.close();
  await target.close();
  await upstream.close();
});

t.test('a client that leaves ends the upstream’s request at once', async (t) => {
  const { upstream, forwarder } = await behind(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: one\n\n');
  });
  const answer = await open(forwarder.port);
  await once(answer, 'data');
  answer.destroy();
  await forwarder.settled(1);
  t.match(forwarder.results, [{ status: 200, bytes: 11, outcome: 'aborted', failure: undefined }]);
  await until(() => upstream.requests[0]!.aborted);
});

t.test('a client that leaves before the answer has begun leaves no request behind', async (t) => {
  const { upstream, forwarder } = await behindRaw(t, faults.silent);
  const leaving = open(forwarder.port, { method: 'POST', body: '{}' });
  leaving.catch(() => {});
  await upstream.received(1);
  // The server side of the client's connection, cut as a vanished client would.
  forwarder.dropClients();
  await forwarder.settled(1);
  t.match(forwarder.results, [{ status: undefined, outcome: 'aborted' }]);
  await until(() => upstream.requests[0]!.aborted);
  t.equal(upstream.requests.length, 1);
  await t.rejects(leaving);
});

async function readsLate(t: Test, options: Options): Promise<void> {
  let written = 0;
  const total = 64 * 1024 * 1024;
  const reply: Reply = async (_request, response) => {
    response.writeHead(200);
    const chunk = Buffer.alloc(65_536);
    while (written < total && !response.destroyed) {
      written += chunk.length;
      if (!response.write(chunk)) await Promise.race([once(response, 'drain'), once(response, 'close')]);
    }
    response.end();
  };
  const { forwarder } = await behind(t, reply, options);
  const answer = await open(forwarder.port);
  await until(() => written > 0);
  await untilAtRest(() => written, 'the upstream');
  t.ok(written < total / 2, `${written} bytes are somewhere on the way`);
  let received = 0;
  for await (const chunk of answer) received += chunk.length;
  t.equal(received, total, 'and all of it arrives once it reads');
}

t.test('a client that does not read holds the upstream back instead of filling memory (S3)', async (t) => {
  const upstream = { limits: { responseBytes: '1GiB' } };
  await readsLate(t, { upstream });
  const same = { whole: false, write: (chunk: Buffer) => chunk, end: () => undefined };
  await readsLate(t, { upstream, filter: () => same });
});

t.test('a client that takes nothing for the idle timeout is cut off', async (t) => {
  const { upstream, forwarder } = await behind(
    t,
    (_request, response) => {
      response.writeHead(200);
      response.write(Buffer.alloc(64 * 1024 * 1024));
    },
    { upstream: { timeouts: { idle: '200ms' } } },
  );
  const answer = await open(forwarder.port);
  answer.on('error', () => {});
  await forwarder.settled(1);
  t.match(forwarder.results, [{ outcome: 'aborted' }]);
  await until(() => upstream.requests[0]!.aborted);
  answer.destroy();
});

t.test('an early answer to a large body is relayed', async (t) => {
  const early = createServer((request, response) => {
    response.writeHead(413, { 'content-type': 'text/plain' }).end('too large');
    request.resume();
  });
  early.listen(0, '127.0.0.1');
  await once(early, 'listening');
  const before = await startForwarder(configOf(`http://127.0.0.1:${(early.address() as AddressInfo).port}`));
  t.teardown(async () => {
    await before.close();
    early.close();
  });
  const answer = await ask(before.port, { method: 'POST', body: Buffer.alloc(8_000_000) });
  t.match(answer, { status: 413, complete: true });
  t.equal(String(answer.body), 'too large');
});

t.test('a closed upstream lets its requests end, serves what still comes, and keeps no connection', async (t) => {
  const gate = Promise.withResolvers<void>();
  const { forwarder, upstream } = await behind(t, async (request, response) => {
    if (request.url === '/late') await gate.promise;
    response.end(request.url);
  });
  await Promise.all([ask(forwarder.port), ask(forwarder.port)]);
  const answer = ask(forwarder.port, { path: '/late' });
  await upstream.received(3);
  let closed = false;
  const closing = forwarder.upstream.close().then(() => {
    closed = true;
  });
  await until(() => upstream.openConnections() === 1);
  t.equal(String((await ask(forwarder.port, { path: '/new' })).body), '/new');
  t.notOk(closed);
  gate.resolve();
  t.equal(String((await answer).body), '/late');
  await closing;
  await until(() => upstream.openConnections() === 0);
});

t.test('a response that was closed before is not forwarded for', async (t) => {
  const { forwarder, upstream } = await behind(t, undefined, { closeFirst: true });
  await t.rejects(ask(forwarder.port));
  await forwarder.settled(1);
  t.match(forwarder.results, [{ status: undefined, bytes: 0, outcome: 'aborted' }]);
  t.equal(upstream.connections(), 0);
});

/** Removes every `x`; fails at a `!`. */
function withoutX(whole: boolean): NonNullable<Options['filter']> {
  return (status) => {
    if (status === 204) return undefined;
    const kept: Buffer[] = [];
    const strip = (chunk: Buffer): Buffer => {
      if (chunk.includes('!')) throw new Error('cannot be shown');
      return Buffer.from(chunk.toString().replaceAll('x', ''));
    };
    return {
      whole,
      write(chunk) {
        if (!whole) return chunk.length === 0 ? undefined : strip(chunk);
        kept.push(strip(chunk));
        return undefined;
      },
      end: () => (whole ? Buffer.concat(kept) : Buffer.from('.')),
    };
  };
}

const cached = { 'cache-control': 'public, max-age=60', etag: '"a"', 'last-modified': 'now', 'x-kept': 'y' };

t.test('a filtered body has the head of what is left of it, and no cache is to keep it', async (t) => {
  const { forwarder } = await behind(
    t,
    (request, response) => {
      const status = Number(request.url.slice(1));
      response.writeHead(status, { ...cached, ...(status === 200 && { 'content-length': 6 }) });
      if (status === 204) response.end();
      else response.write('axb', () => response.end('xxc'));
    },
    { filter: withoutX(true) },
  );
  const answer = await ask(forwarder.port, { path: '/200' });
  const headers = { 'content-length': '3', 'cache-control': 'private, no-store, no-transform', 'x-kept': 'y' };
  t.match(answer, { status: 200, headers, complete: true });
  t.equal(answer.headers.etag, undefined);
  t.equal(answer.headers['last-modified'], undefined);
  t.equal(String(answer.body), 'abc');
  const untouched = await ask(forwarder.port, { path: '/204' });
  t.match(untouched, { status: 204, headers: { etag: '"a"', 'cache-control': 'public, max-age=60' } });
  t.match(forwarder.results, [{ status: 200, bytes: 3, outcome: 'completed' }, { status: 204 }]);
});

t.test('a filtered stream goes on as it comes, without the length that it had', async (t) => {
  const gate = Promise.withResolvers<void>();
  const { forwarder } = await behind(
    t,
    async (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream', 'content-length': 6 });
      response.write('axb');
      await gate.promise;
      response.end('xxc');
    },
    { filter: withoutX(false) },
  );
  const stream = await open(forwarder.port);
  t.equal(stream.headers['content-length'], undefined);
  const [first] = (await once(stream, 'data')) as [Buffer];
  t.equal(String(first), 'ab');
  gate.resolve();
  const rest: Buffer[] = [];
  for await (const chunk of stream) rest.push(chunk);
  t.equal(String(Buffer.concat(rest)), 'c.');
  t.match(forwarder.results, [{ bytes: 4, outcome: 'completed' }]);
});

t.test(
  'a filter that fails makes a bad upstream of one whose head is held back, and breaks off a stream',
  async (t) => {
    const gate = Promise.withResolvers<void>();
    const reply: Reply = async (_request, response) => {
      response.writeHead(200, cached);
      response.write('ab');
      await gate.promise;
      response.end('c!');
    };
    const streamed = await behind(t, reply, { filter: withoutX(false) });
    const stream = await open(streamed.forwarder.port);
    t.equal(String(await once(stream, 'data')), 'ab');
    gate.resolve();
    await t.rejects(once(stream, 'end'), { code: 'ECONNRESET' });
    await streamed.forwarder.settled(1);
    t.match(streamed.forwarder.results, [{ bytes: 2, outcome: 'failed', failure: 'unreadable' }]);
    const whole = await behind(t, reply, { filter: withoutX(true) });
    t.match(await ask(whole.forwarder.port), { status: 502, headers: { 'x-code': 'bad_upstream' }, complete: true });
    t.match(whole.forwarder.results, [{ code: 'bad_upstream', reason: 'unreadable' }]);
    const atEnd = await behind(t, (_request, response) => void response.end('ab'), {
      filter: () => ({ whole: true, write: () => undefined, end: () => assert.fail('cannot be shown') }),
    });
    t.match(await ask(atEnd.forwarder.port), { status: 502 });
  },
);

t.test('an unusable file is refused when the upstream is made', (t) => {
  const make = (upstream: object, files = new Map<string, Buffer>()) =>
    createUpstream(
      'up',
      configOf('https://127.0.0.1:1', { upstream }).upstreams.up!,
      createNamedFiles(files),
      Date.now,
    );
  const garbage = new Map([['/x', Buffer.from('garbage')]]);
  t.throws(() => make({ tls: { caFile: '/x' } }), { message: 'upstreams.up.tls.caFile: /x: the file was not read' });
  t.throws(() => make({ tls: { caFile: '/x' } }, garbage), {
    message: 'upstreams.up.tls.caFile: /x: the file holds no PEM certificate',
  });
  t.throws(() => make({ tls: { certFile: '/x' } }, garbage), /keyFile: is needed beside the others/);
  t.throws(() => make({ tls: { certFile: '/x', keyFile: '/x' } }, garbage), {
    message:
      'upstreams.up.tls.certFile: /x: the file holds no PEM certificate\nupstreams.up.tls.keyFile: /x: the file holds no PEM private key',
  });
  t.end();
});

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
