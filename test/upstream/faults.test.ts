// Faults of an upstream on the wire: rows U1 to U3 of the threat table.
import t, { type Test } from 'tap';
import type { GatewayError } from '../../src/errors.ts';
import type { ForwardResult } from '../../src/upstream/forward.ts';
import { type Answer, ask, configOf, startForwarder } from '../support/forwarder.ts';
import { closedPort, faults, type RawReply, startRawUpstream, startUpstream } from '../support/upstream.ts';

type Fault = keyof typeof faults;

async function behind(t: Test, reply: RawReply, upstreamOptions: object = {}) {
  const upstream = await startRawUpstream(reply);
  const forwarder = await startForwarder(configOf(upstream.url, { upstream: upstreamOptions }));
  t.teardown(async () => {
    await forwarder.close();
    await upstream.close();
  });
  return { upstream, forwarder };
}

/** No address, port, cause or word of a library may reach the client. */
function leaksNothing(t: Test, answer: Answer, port: number): void {
  const text = answer.rawHeaders.join(' ');
  t.notMatch(text, /127\.0\.0\.1|ECONN|UND_ERR|undici|socket|TLS|certificate/i);
  t.notOk(text.includes(String(port)));
}

t.test('an answer that breaks the rules before its body is 502, and a POST is sent once (U1, U2)', async (t) => {
  const expected: Partial<Record<Fault, string>> = {
    resetsAtOnce: 'reset',
    closesAtOnce: 'reset',
    interimStorm: 'informational',
    status99: 'status',
    status600: 'status',
    switchesProtocols: 'protocol',
    switchesToNothing: 'status',
    hugeHeader: 'headers_too_large',
    headerWithLineBreak: 'protocol',
    headerWithNul: 'protocol',
    twoLengths: 'protocol',
    lengthAndChunks: 'protocol',
    notHttp: 'protocol',
  };
  for (const [fault, reason] of Object.entries(expected)) {
    await t.test(fault, async (t) => {
      const { upstream, forwarder } = await behind(t, faults[fault as Fault]);
      const answer = await ask(forwarder.port, { method: 'POST', body: '{}' });
      t.match(answer, { status: 502, headers: { 'x-code': 'bad_upstream' } });
      t.match(forwarder.results, [{ code: 'bad_upstream', reason }]);
      t.equal(upstream.requests.length, 1);
      leaksNothing(t, answer, upstream.port);
      t.equal((await ask(forwarder.port)).status, 502, 'and the next request is served all the same');
    });
  }
});

t.test('an answer that breaks off in its body costs the client its connection, never a clean end', async (t) => {
  for (const fault of ['breaksOffHalfWay', 'endsShort', 'breaksOffInChunks'] as const) {
    await t.test(fault, async (t) => {
      const { upstream, forwarder } = await behind(t, faults[fault]);
      const answer = await ask(forwarder.port, { method: 'POST', body: '{}' });
      t.match(answer, { status: 200, complete: false });
      await forwarder.settled(1);
      t.match(forwarder.results, [{ status: 200, outcome: 'failed' }]);
      t.ok(['reset', 'protocol'].includes((forwarder.results[0] as ForwardResult).failure!));
      t.equal(upstream.requests.length, 1);
    });
  }
});

t.test(
  'what an upstream may do is done to the client too: interim answers and trailers dropped, compression kept',
  async (t) => {
    const interim = await behind(t, faults.interimOnce);
    t.match(await ask(interim.forwarder.port), { status: 200, complete: true, body: Buffer.from('{}') });

    const trailers = await behind(t, faults.trailers);
    const answer = await ask(trailers.forwarder.port);
    t.match(answer, { status: 200, complete: true, body: Buffer.from('{}') });
    t.same(answer.trailers, {});
    t.notOk(answer.rawHeaders.some((name) => /^trailer$/i.test(name)));

    const bomb = await behind(t, faults.compressionBomb);
    const packed = await ask(bomb.forwarder.port);
    t.equal(packed.headers['content-encoding'], 'gzip');
    t.ok(packed.complete && packed.body.length < 20_000, 'nothing is unpacked on the way');

    const tooMuch = await behind(t, faults.sendsTooMuch);
    t.match(await ask(tooMuch.forwarder.port), { status: 200, complete: true, body: Buffer.from('{}') });
    t.match(await ask(tooMuch.forwarder.port), { status: 200, body: Buffer.from('{}') }, 'the rest is no next answer');
  },
);

t.test('a refused connection is 502 at once', async (t) => {
  const url = await closedPort();
  const forwarder = await startForwarder(configOf(url));
  t.teardown(forwarder.close);
  const answer = await ask(forwarder.port, { method: 'POST', body: '{}' });
  t.match(answer, { status: 502, headers: { 'x-code': 'bad_upstream' } });
  t.match(forwarder.results, [{ reason: 'connect' }]);
  t.ok((forwarder.results[0] as GatewayError).cause instanceof Error, 'the cause is kept for the log');
  leaksNothing(t, answer, Number(new URL(url).port));
});

t.test('silence is 504 before the head, and cuts the answer after it (U3)', async (t) => {
  const silent = await behind(t, faults.silent, { timeouts: { firstByte: '100ms' } });
  t.match(await ask(silent.forwarder.port), { status: 504, headers: { 'x-code': 'upstream_timeout' } });
  t.match(silent.forwarder.results, [{ reason: 'first_byte_timeout' }]);
  t.equal(silent.upstream.requests.length, 1, 'a GET is not repeated either');

  const stalled = await behind(t, faults.stallsHalfWay, { timeouts: { idle: '100ms' } });
  t.match(await ask(stalled.forwarder.port), { status: 200, complete: false });
  await stalled.forwarder.settled(1);
  t.match(stalled.forwarder.results, [{ outcome: 'failed', failure: 'idle_timeout', bytes: 5 }]);
});

t.test('interim answers do not stretch the time to the first byte without end', async (t) => {
  const { forwarder } = await behind(
    t,
    (socket) => {
      const timer = setInterval(() => socket.write('HTTP/1.1 103 Early Hints\r\n\r\n'), 60);
      socket.on('close', () => clearInterval(timer));
    },
    { timeouts: { firstByte: '150ms' } },
  );
  t.match(await ask(forwarder.port), { status: 504 });
  t.match(forwarder.results, [{ reason: 'first_byte_timeout' }]);
});

t.test('the upstream’s 401 and 407 are its operator’s business, not the client’s', async (t) => {
  for (const status of [401, 407]) {
    const upstream = await startUpstream({
      reply: (_request, response) => {
        response.writeHead(status, { 'www-authenticate': 'Bearer realm="inner"' }).end('who are you');
      },
    });
    const forwarder = await startForwarder(configOf(upstream.url));
    t.teardown(async () => {
      await forwarder.close();
      await upstream.close();
    });
    const answer = await ask(forwarder.port);
    t.match(answer, { status: 502, headers: { 'x-code': 'bad_upstream' } });
    t.notOk('www-authenticate' in answer.headers);
    t.match(forwarder.results, [{ reason: 'credential' }]);
    t.equal(answer.body.length, 0);
  }
});

t.test('a connection that closes under a request: GET goes again once, POST never (U2)', async (t) => {
  const closing = (times: number): RawReply => {
    let left = times;
    return (socket, request) => {
      left -= 1;
      if (left >= 0) faults.resetsAtOnce(socket);
      else faults.interimOnce(socket);
      t.ok(request.method);
    };
  };
  const once = await behind(t, closing(1));
  t.match(await ask(once.forwarder.port), { status: 200 });
  t.equal(once.upstream.requests.length, 2);

  const always = await behind(t, closing(9));
  t.match(await ask(always.forwarder.port), { status: 502 });
  t.equal(always.upstream.requests.length, 2, 'no third time');

  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
    const other = await behind(t, closing(1));
    t.match(await ask(other.forwarder.port, { method }), { status: 502 });
    t.equal(other.upstream.requests.length, 1, method);
  }
});

t.test('an upstream that comes back serves the next request', async (t) => {
  const first = await startUpstream();
  const forwarder = await startForwarder(configOf(first.url));
  t.teardown(forwarder.close);
  t.match(await ask(forwarder.port, { method: 'POST', body: '{}' }), { status: 200 });
  await first.close();
  t.match(await ask(forwarder.port, { method: 'POST', body: '{}' }), { status: 502 });
  const second = await startUpstream({ port: first.port });
  t.teardown(second.close);
  t.match(await ask(forwarder.port, { method: 'POST', body: '{}' }), { status: 200 });
});
