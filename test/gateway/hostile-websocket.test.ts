// What hostile clients and upstreams do with WebSockets: at the offer, at the switch, on the open connection and at its end.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import t, { type Test } from 'tap';
import { closeFrame } from '../../src/http/websocket/frames.ts';
import { codeOf, host, withKey } from '../support/attack.ts';
import type { RouteChange } from '../support/configuration.ts';
import { type RawConnection, rawConnection, rawRequest, talk } from '../support/raw-http.ts';
import { type Scenario, startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';
import { type RawReply, startRawUpstream, type TestUpstream } from '../support/upstream.ts';

const key = 'dGhlIHNhbXBsZSBub25jZQ==';
const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
const switching = (...headers: string[]) =>
  rawRequest(['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', ...headers]);
const switched = switching('Upgrade: websocket', `Sec-WebSocket-Accept: ${accept}`);
const plain = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

interface Offer {
  readonly line?: string;
  readonly upgrade?: string;
  readonly headers?: readonly string[];
}

function offer({ line = 'GET /ws/x HTTP/1.1', upgrade = 'websocket', headers = [host, withKey] }: Offer = {}): string {
  const ofProtocol = [`Upgrade: ${upgrade}`, 'Connection: keep-alive, Upgrade', `Sec-WebSocket-Key: ${key}`];
  return rawRequest([line, ...headers, ...ofProtocol, 'Sec-WebSocket-Version: 13']);
}

/** A gateway in front of an upstream that does this on the bare socket. */
async function scenarioOf(t: Test, reply: RawReply): Promise<Scenario> {
  const upstream = await startRawUpstream(reply);
  t.teardown(upstream.close);
  const routes: Readonly<Record<string, RouteChange>> = { '/ws/*': { websocket: true, authenticate: 'keys' } };
  return startScenario<TestUpstream>(t, { routes }, { upstream });
}

async function open(scenario: Scenario, bytes = offer()): Promise<RawConnection> {
  const connection = await rawConnection(scenario.port);
  connection.write(bytes);
  return connection;
}

/** Waits for the end of a request, and asserts that nothing of it is left. */
async function assertOver(t: Test, scenario: Scenario, expected: object): Promise<void> {
  const record = await scenario.record(({ stage }) => stage === 'completed');
  t.match(record, expected);
  t.equal(await scenario.metric('portcullis_active_streams'), 0);
  t.equal(await scenario.metric('portcullis_requests_total', { outcome: record.outcome! }), 1);
}

t.test('an offer behind a request that is still to be answered is a plain request', async (t) => {
  const scenario = await scenarioOf(t, (socket) => socket.write(plain));
  const earlier = rawRequest(['GET /api/x HTTP/1.1', host, withKey]);
  const refused = rawRequest(['GET /api/x HTTP/1.1', host]);
  for (const [first, status] of [
    [earlier, 200],
    [refused, 401],
  ] as const) {
    const { answers } = await talk(scenario.port, first + offer(), 2);
    t.match(answers, [{ status }, { status: 200, body: 'ok' }]);
  }
  const offers = scenario.upstream.requests.filter(({ url }) => url === '/ws/x');
  t.equal(offers.length, 2);
  for (const each of offers) t.strictSame(each.header('upgrade'), []);
});

t.test('an offer in another form than RFC 6455 has it is ignored', async (t) => {
  const scenario = await scenarioOf(t, (socket) => socket.write(plain));
  const forms: Offer[] = [
    { line: 'GET /ws/x HTTP/1.0' },
    { line: 'POST /ws/x HTTP/1.1', headers: [host, withKey, 'Content-Length: 0'] },
    { upgrade: 'WebSocket, h2c' },
    { upgrade: 'h2c' },
    { headers: [host, withKey, 'Upgrade: h2c'] },
  ];
  for (const form of forms) {
    const { answers } = await talk(scenario.port, offer(form));
    t.match(answers, [{ status: 200 }], JSON.stringify(form));
    t.strictSame(scenario.upstream.requests.at(-1)!.header('upgrade'), []);
  }
});

t.test('an offer with a body is refused, and the upstream sees nothing of it', async (t) => {
  const scenario = await scenarioOf(t, (socket) => socket.write(switched));
  for (const length of ['Content-Length: 5', 'Transfer-Encoding: chunked']) {
    const { answers, closed } = await talk(scenario.port, `${offer({ headers: [host, withKey, length] })}hello`);
    t.match(answers, [{ status: 400, headers: { connection: 'close' } }]);
    t.equal(codeOf(answers[0]!), 'bad_request');
    t.ok(closed || answers.length === 1);
  }
  t.equal(scenario.upstream.requests.length, 0);
  t.equal((await scenario.matchingRecords(2, ({ outcome }) => outcome === 'refused')).length, 2);
});

t.test('a refused offer says that its connection ends, and nothing behind it is taken', async (t) => {
  const scenario = await scenarioOf(t, (socket) => socket.write(switched));
  const connection = await open(scenario, offer({ headers: [host] }) + offer());
  const { answers } = await connection.closed();
  t.match(answers, [{ status: 401, headers: { connection: 'close' } }]);
  t.equal(answers.length, 1);
  t.equal(scenario.upstream.requests.length, 0);
  await assertOver(t, scenario, { outcome: 'refused', reason: 'credentials_required' });
});

for (const [name, answer] of Object.entries({
  'without Sec-WebSocket-Accept': switching('Upgrade: websocket'),
  'with a wrong Sec-WebSocket-Accept': switching('Upgrade: websocket', 'Sec-WebSocket-Accept: abc'),
  'with two Sec-WebSocket-Accept': switching(
    'Upgrade: websocket',
    `Sec-WebSocket-Accept: ${accept}`,
    `Sec-WebSocket-Accept: ${accept}`,
  ),
  'to another protocol': switching('Upgrade: h2c', `Sec-WebSocket-Accept: ${accept}`),
  'to nothing': 'HTTP/1.1 101 Switching Protocols\r\n\r\n',
  'with a control character in a header': switching(
    'Upgrade: websocket',
    `Sec-WebSocket-Accept: ${accept}`,
    'X: a\x01b',
  ),
})) {
  t.test(`a 101 ${name} is 502, and no byte of it passes`, async (t) => {
    const scenario = await scenarioOf(t, (socket) => socket.write(`${answer}\x81\x05hello`));
    const { answers, text } = await (await open(scenario)).closed();
    t.match(answers, [{ status: 502, headers: { connection: 'close' } }]);
    t.equal(codeOf(answers[0]!), 'bad_upstream');
    t.notMatch(text, /hello|101/);
    await until(() => scenario.upstream.requests[0]!.aborted);
    await assertOver(t, scenario, { outcome: 'failed', reason: 'bad_upstream', status: 502 });
  });
}

t.test('a 101 to a request that offers nothing is 502', async (t) => {
  const scenario = await scenarioOf(t, (socket) => socket.write(switched));
  const { answers } = await talk(scenario.port, rawRequest(['GET /api/x HTTP/1.1', host, withKey]));
  t.match(answers, [{ status: 502 }]);
  await assertOver(t, scenario, { outcome: 'failed', reason: 'bad_upstream' });
});

t.test('a long answer to an offer arrives whole, and its connection ends', async (t) => {
  const body = 'x'.repeat(4 * 1024 * 1024);
  const scenario = await scenarioOf(t, (socket) =>
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`),
  );
  const { answers } = await (await open(scenario)).closed();
  t.match(answers, [{ status: 200, headers: { connection: 'close' } }]);
  t.equal(answers[0]!.body.length, body.length);
  await assertOver(t, scenario, { outcome: 'completed', status: 200, bytes: body.length });
});

for (const [name, leave] of Object.entries({
  'ends its side': (socket: Socket) => socket.end(),
  'resets the connection': (socket: Socket) => socket.resetAndDestroy(),
})) {
  t.test(`a client that ${name} before the upstream has switched ends the upstream's request`, async (t) => {
    const scenario = await scenarioOf(t, () => {});
    const connection = await open(scenario);
    await scenario.upstream.received(1);
    leave(connection.socket);
    await until(() => scenario.upstream.requests[0]!.aborted);
    await assertOver(t, scenario, { decision: 'allow', outcome: 'aborted' });
  });
}

t.test('what a client sends before the switch reaches the upstream behind it', async (t) => {
  let received = '';
  const scenario = await scenarioOf(t, (socket) => {
    socket.removeAllListeners('data').on('data', (chunk) => {
      received += chunk.toString('latin1');
      if (received.endsWith('second')) socket.end();
    });
    socket.write(switched);
  });
  const connection = await open(scenario, `${offer()}\x81\x85\0\0\0\0first`);
  connection.write('\x81\x86\0\0\0\0second');
  await connection.closed();
  t.equal(received, '\x81\x85\0\0\0\0first\x81\x86\0\0\0\0second');
  await assertOver(t, scenario, { detail: { websocket: { messages: { toUpstream: 2, toClient: 0 } } } });
});

t.test('frames that come byte by byte pass as they are, and so does what stands behind a Close', async (t) => {
  const bytes = Buffer.concat([
    Buffer.from('\x81\x05hello\x82\x7e\x01\x2c', 'latin1'),
    Buffer.alloc(300, 'z'),
    closeFrame(1000, 'done', false),
    Buffer.from('\x81\x04late', 'latin1'),
  ]);
  const scenario = await scenarioOf(t, (socket) => {
    socket.setNoDelay(true).write(switched);
    let sent = 0;
    const next = (): void => {
      if (sent === bytes.length) socket.end();
      else socket.write(bytes.subarray(sent, ++sent), () => setImmediate(next));
    };
    next();
  });
  const { text } = await (await open(scenario)).closed();
  t.ok(text.endsWith(bytes.toString('latin1')));
  await assertOver(t, scenario, { outcome: 'aborted', detail: { websocket: { messages: { toClient: 3 } } } });
});

for (const [name, end] of Object.entries({
  resets: (socket: Socket) => socket.resetAndDestroy(),
  ends: (socket: Socket) => socket.end(),
})) {
  t.test(`an upstream that ${name} in the middle of a frame ends the client's connection`, async (t) => {
    const scenario = await scenarioOf(t, (socket) => socket.write(`${switched}\x82\x64half`, () => end(socket)));
    await (await open(scenario)).closed();
    await assertOver(t, scenario, {
      outcome: 'aborted',
      status: 101,
      detail: { websocket: { messages: { toClient: 0 } } },
    });
  });
}

t.test('a side that goes on though the other has ended, or both have closed, is cut', async (t) => {
  const endings = {
    ends: (connection: RawConnection) => connection.socket.end(),
    closes: (connection: RawConnection) => connection.write(closeFrame(1000, '', true)),
  };
  for (const [name, end] of Object.entries(endings)) {
    await t.test(name, async (t) => {
      const scenario = await scenarioOf(t, (socket) => {
        socket.allowHalfOpen = true;
        socket.write(switched);
        socket.write(closeFrame(1000, '', false));
      });
      const connection = await open(scenario);
      await once(connection.socket, 'data');
      end(connection);
      await assertOver(t, scenario, { status: 101 });
    });
  }
});

t.test(
  'a stop of the gateway waits neither for an upstream that has not switched nor for a client that does not read',
  async (t) => {
    const frame = Buffer.concat([Buffer.from([0x82, 0x7e, 0xff, 0xff]), Buffer.alloc(0xffff)]);
    const scenario = await scenarioOf(t, (socket, { url }) => {
      if (url === '/ws/silent') return;
      socket.write(switched);
      const flood = (): void => {
        while (!socket.destroyed && socket.write(frame));
      };
      socket.on('drain', flood);
      flood();
    });
    const deaf = await open(scenario);
    await once(deaf.socket, 'data');
    deaf.socket.pause();
    const waiting = await open(scenario, offer({ line: 'GET /ws/silent HTTP/1.1' }));
    await scenario.upstream.received(2);
    const started = performance.now();
    await scenario.gateway.close();
    t.ok(performance.now() - started < 15_000, 'long before drainTimeout');
    t.equal((await waiting.closed()).text, '');
    const completed = await scenario.matchingRecords(2, ({ stage }) => stage === 'completed');
    t.match(completed, [{ outcome: 'aborted' }, { outcome: 'aborted' }]);
  },
);
