// The http sink over real sockets: each format, and a receiver that fails in every way.
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { createEventEncoder } from '../../../../src/audit/encode.ts';
import { chainLines, genesis, parseLink } from '../../../../src/audit/hash-chain.ts';
import { linesIn } from '../../../../src/audit/sinks/delivery/backlog.ts';
import { DeliveryFailure } from '../../../../src/audit/sinks/delivery/transport.ts';
import type { FormatName } from '../../../../src/audit/sinks/http/formats.ts';
import { createHttpTransport, type HttpReceiver } from '../../../../src/audit/sinks/http/http-transport.ts';
import type { SinkEnvironment } from '../../../../src/audit/sinks/sink-type.ts';
import { createNamedFiles } from '../../../../src/named-files.ts';
import { createTestCertificates } from '../../../support/certificates.ts';
import { startConnectProxy } from '../../../support/connect-proxy.ts';
import { until } from '../../../support/until.ts';
import { eventOf, someTime } from '../../support.ts';
import { environment } from './support.ts';

const encode = createEventEncoder('instance-1');
const call = eventOf('req-1', {
  route: 'superset-mcp',
  client: { address: '192.0.2.7', userAgent: 'agent/1' },
  principal: {
    kind: 'access-token',
    issuer: 'https://idp.example.com/',
    subject: 'ada',
    clientId: 'ai_agent_prod',
    credentialId: 'jti-1',
    tenant: 'acme',
  },
  http: { method: 'POST', path: '/mcp' },
  mcp: { method: 'tools/call', tool: 'execute_sql', via: 'call_tool', arguments: { sql: 'line\u2028separator' } },
  scopes: { granted: ['dashboards:read'], required: ['queries:execute'], missing: ['queries:execute'] },
  decision: 'deny',
  rule: 'sql',
  reason: 'insufficient_scope',
  status: 403,
  bytes: 312,
  durationMs: 2.5,
  outcome: 'refused',
});
const { lines: bytes } = chainLines(genesis, [encode(call), encode(eventOf('cfg', { stage: 'config' }))]);
const lines = linesIn(bytes);
const [first, second] = lines.map((line) => ({ text: line.toString(), hash: parseLink(line)!.hash }));
const signal = new AbortController().signal;

async function listen(t: Test, server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** A transport of the test. */
function transportTo(t: Test, url: string, more: Partial<HttpReceiver> = {}, around: SinkEnvironment = environment) {
  const transport = createHttpTransport({ url, headers: {}, format: 'json-lines', ...more }, around);
  t.teardown(() => transport.close());
  return transport;
}

type Received = { readonly headers: IncomingMessage['headers']; readonly url: string; readonly body: string };

/** An HTTP receiver that gives this answer, and a transport to it. */
async function receive(
  t: Test,
  answer: (response: ServerResponse) => void,
  more: Partial<HttpReceiver> & { path?: string } = {},
) {
  const received: Received[] = [];
  const handle: RequestListener = async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    received.push({ headers: request.headers, url: request.url!, body: Buffer.concat(chunks).toString() });
    answer(response);
  };
  const port = await listen(t, createServer(handle));
  const { path = '/in', ...rest } = more;
  return { received, ...transportTo(t, `http://127.0.0.1:${port}${path}`, rest) };
}

const ok =
  (text = '') =>
  (response: ServerResponse) =>
    void response.end(text);
const status =
  (code: number, headers: Record<string, string> = {}, text = '') =>
  (response: ServerResponse) =>
    void response.writeHead(code, headers).end(text);
const logIn = status(200, { 'content-type': 'text/html; charset=utf-8' }, '<html>Log in</html>');
const brokenOff = (response: ServerResponse) =>
  void response.writeHead(200, { 'content-length': '100' }).write('{', () => response.destroy());
const hecOk = ok('{"text":"Success","code":0}');

async function failureOf(sent: Promise<void>): Promise<DeliveryFailure> {
  const error = await sent.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  if (!(error instanceof DeliveryFailure)) throw new Error(`no failure, but ${error}`);
  return error;
}

t.test('json-lines: the lines as they are, with a key of the batch and the configured headers', async (t) => {
  const { received, send } = await receive(t, status(204), { headers: { authorization: 'Bearer canary' } });
  await send(lines, signal);
  const [{ body, headers }] = received as [Received];
  t.equal(body, bytes.toString());
  t.match(headers, {
    'content-type': 'application/x-ndjson',
    'idempotency-key': `"${first!.hash}-${second!.hash}"`,
    authorization: 'Bearer canary',
  });
});

t.test('hec: an event for each record, with its text, its time and its hash, and one channel', async (t) => {
  const { received, send } = await receive(t, hecOk, { format: 'hec' });
  await send(lines, signal);
  await send(lines, signal);
  const [one, two] = received as [Received, Received];
  const [event] = one.body.split('\n');
  t.ok(event!.includes(`"event":${first!.text},`), 'byte for byte');
  t.match(JSON.parse(event!), {
    time: someTime / 1000,
    host: 'instance-1',
    sourcetype: 'portcullis:audit',
    event: { seq: 1, id: 'req-1' },
    fields: { hash: first!.hash, seq: 1 },
  });
  t.match(one.headers['x-splunk-request-channel'], /^[0-9a-f-]{36}$/);
  t.equal(two.headers['x-splunk-request-channel'], one.headers['x-splunk-request-channel']);
});

t.test('ecs: the mapped members, the whole record as event.original, its hash as event.id', async (t) => {
  const { received, send } = await receive(t, ok(), { format: 'ecs' });
  await send(lines, signal);
  const [document, other] = received[0]!.body
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.match(document, {
    '@timestamp': new Date(someTime).toISOString(),
    ecs: { version: '8.11.0' },
    event: {
      kind: 'event',
      category: ['api'],
      type: ['access', 'denied'],
      id: first!.hash,
      hash: first!.hash,
      sequence: 1,
      action: 'tools/call',
      outcome: 'failure',
      reason: 'insufficient_scope',
      duration: 2_500_000,
      original: first!.text,
    },
    source: { address: '192.0.2.7', ip: '192.0.2.7' },
    user: { id: 'ada', domain: 'https://idp.example.com/' },
    organization: { id: 'acme' },
    http: { request: { id: 'req-1', method: 'POST' }, response: { status_code: 403, body: { bytes: 312 } } },
    url: { path: '/mcp' },
    rule: { name: 'sql', ruleset: 'p1' },
    portcullis: { route: 'superset-mcp', mcp: { tool: 'execute_sql', via: 'call_tool' }, client_id: 'ai_agent_prod' },
  });
  t.notOk(JSON.stringify(document.portcullis).includes('separator'), 'arguments stand in event.original only');
  t.match(other, { event: { category: ['configuration'], original: second!.text } });
});

t.test(
  'ecs to /_bulk: documents are created under the hash of the record; one that is there is acknowledged',
  async (t) => {
    const answer = { errors: true, items: [{ create: { status: 409 } }, { create: { status: 201 } }] };
    const { received, send } = await receive(t, ok(JSON.stringify(answer)), { format: 'ecs', path: '/logs/_bulk' });
    await send(lines, signal);
    const sent = received[0]!.body
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    t.match(sent, [{ create: { _id: first!.hash } }, { event: {} }, { create: { _id: second!.hash } }, { event: {} }]);
  },
);

t.test(
  'ocsf: API Activity with the profile security_control, the record as raw_data, its hash as metadata.uid',
  async (t) => {
    const { received, send } = await receive(t, ok(), { format: 'ocsf' });
    await send(lines, signal);
    const [event, other] = received[0]!.body
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    t.match(event, {
      category_uid: 6,
      class_uid: 6003,
      activity_id: 99,
      activity_name: 'tools/call',
      type_uid: 600_399,
      time: someTime,
      severity_id: 3,
      status_id: 2,
      status_code: '403',
      status_detail: 'insufficient_scope',
      action_id: 2,
      disposition_id: 2,
      metadata: { version: '1.3.0', profiles: ['security_control'], uid: first!.hash, sequence: 1 },
      actor: {
        app_uid: 'ai_agent_prod',
        user: { uid: 'ada', credential_uid: 'jti-1', org: { uid: 'acme' } },
        authorizations: [{ decision: 'deny', policy: { name: 'sql', uid: 'p1' } }],
      },
      api: { operation: 'tools/call', request: { uid: 'req-1' }, response: { code: 403 } },
      src_endpoint: { ip: '192.0.2.7' },
      resources: [{ type: 'tool', name: 'execute_sql' }],
      raw_data: first!.text,
    });
    t.match(other, { type_uid: 600_399, api: { operation: 'config' }, raw_data: second!.text });
  },
);

/** An answer, and the failure that it is. */
const answers: Readonly<Record<string, readonly [FormatName, (response: ServerResponse) => void, object]>> = {
  500: ['json-lines', status(500), { kind: 'again', message: /answered 500$/ }],
  '503 with Retry-After: 7': ['json-lines', status(503, { 'retry-after': '7' }), { kind: 'again', retryAfterMs: 7000 }],
  '429 with Retry-After: 2': ['hec', status(429, { 'retry-after': '2' }), { kind: 'again', retryAfterMs: 2000 }],
  413: ['json-lines', status(413), { kind: 'too_large' }],
  400: ['json-lines', status(400), { kind: 'refused' }],
  '401 (a credential is changed by a reload)': ['json-lines', status(401), { kind: 'again', message: /credential/ }],
  403: ['hec', status(403, {}, '{"text":"Invalid token","code":4}'), { kind: 'again', message: /credential/ }],
  404: ['json-lines', status(404), { kind: 'again', message: /path/ }],
  '302 to elsewhere': [
    'json-lines',
    status(302, { location: '/login' }),
    { kind: 'again', message: /redirects are not followed/ },
  ],
  'HEC: 200 with code 9': ['hec', ok('{"text":"Server is busy","code":9}'), { kind: 'again', message: /code 9/ }],
  'HEC: 200 with code 6': ['hec', ok('{"text":"Invalid data format","code":6}'), { kind: 'refused' }],
  'HEC: 400 with code 7, incorrect index': [
    'hec',
    status(400, {}, '{"text":"Incorrect index","code":7}'),
    { kind: 'again' },
  ],
  'HEC: 400 with code 6': ['hec', status(400, {}, '{"code":6,"invalid-event-number":1}'), { kind: 'refused' }],
  'HEC: 200 with a page of a proxy': [
    'hec',
    ok('<html>Log in</html>'),
    { kind: 'again', message: /as no event collector/ },
  ],
  'JSON lines: 200 with the log-in page of a proxy': ['json-lines', logIn, { kind: 'again', message: /web page/ }],
  'ECS: 200 with the log-in page of a proxy': ['ecs', logIn, { kind: 'again', message: /web page/ }],
  'OCSF: 200 with the log-in page of a proxy': ['ocsf', logIn, { kind: 'again', message: /web page/ }],
  'JSON lines: 200 with an answer of two mebibytes': [
    'json-lines',
    ok('x'.repeat(2 ** 21)),
    { kind: 'again', message: /more than 1024 KiB/ },
  ],
  'JSON lines: 200 in a content coding': [
    'json-lines',
    status(200, { 'content-encoding': 'gzip' }, 'x'),
    { kind: 'again' },
  ],
  'JSON lines: 200 whose body breaks off': ['json-lines', brokenOff, { kind: 'again' }],
  'JSON lines: 400 with more than can be read': [
    'json-lines',
    status(400, {}, 'x'.repeat(2 ** 21)),
    { kind: 'refused' },
  ],
  'HEC: 200 with more than can be read': ['hec', ok('x'.repeat(2 ** 21)), { kind: 'again' }],
  'HEC: 200 in a content coding': ['hec', status(200, { 'content-encoding': 'gzip' }, 'x'), { kind: 'again' }],
};

for (const [name, [format, answer, expected]] of Object.entries(answers)) {
  t.test(`answered ${name}`, async (t) => {
    const { received, send } = await receive(t, answer, { format, path: '/in?token=canary' });
    const failure = await failureOf(send(lines, signal));
    t.match(failure, expected);
    t.notOk(failure.message.includes('canary'), failure.message);
    t.equal(received.length, 1, 'asked once');
  });
}

const bulkAnswers: Readonly<Record<string, readonly [object, string]>> = {
  'one document is refused': [
    { errors: true, items: [{ create: { status: 201 } }, { create: { status: 400 } }] },
    'refused',
  ],
  'one of two may be taken later': [
    { errors: true, items: [{ create: { status: 400 } }, { create: { status: 429 } }] },
    'again',
  ],
  'no answer of _bulk': [{ took: 1 }, 'again'],
};

for (const [name, [answer, kind]] of Object.entries(bulkAnswers)) {
  t.test(`_bulk: ${name}`, async (t) => {
    const { send } = await receive(t, ok(JSON.stringify(answer)), { format: 'ecs', path: '/_bulk' });
    t.equal((await failureOf(send(lines, signal))).kind, kind);
  });
}

t.test('an empty 200 that calls itself text/html, as of a script that writes nothing, acknowledges', async (t) => {
  const { send } = await receive(t, status(200, { 'content-type': 'text/html' }));
  await send(lines, signal);
});

t.test('HEC: code 0 acknowledges under any content type', async (t) => {
  const { send } = await receive(t, status(200, { 'content-type': 'text/html' }, '{"code":0}'), { format: 'hec' });
  await send(lines, signal);
});

t.test('a connection that is refused, and a name that does not exist', async (t) => {
  const port = await listen(t, createTcpServer());
  const closed = createTcpServer();
  const free = await new Promise<number>((resolve) => {
    closed.listen(0, '127.0.0.1', () => resolve((closed.address() as AddressInfo).port));
  });
  await new Promise((resolve) => closed.close(resolve));
  t.not(port, free);
  t.match(await failureOf(transportTo(t, `http://127.0.0.1:${free}/in?token=canary`).send(lines, signal)), {
    kind: 'again',
    message: /^http:\/\/127\.0\.0\.1:\d+\/in could not be reached/,
  });
  t.equal((await failureOf(transportTo(t, 'http://siem.invalid/').send(lines, signal))).kind, 'again');
});

t.test('a connection that is reset in the middle of the request, and one that ends before the answer', async (t) => {
  for (const end of ['resetAndDestroy', 'end'] as const) {
    const port = await listen(
      t,
      createTcpServer((socket) => {
        socket.on('error', () => {});
        socket.once('data', () => socket[end]());
      }),
    );
    t.equal((await failureOf(transportTo(t, `http://127.0.0.1:${port}/`).send(lines, signal))).kind, 'again');
  }
});

t.test('a receiver that never answers, or answers a byte at a time, is left when the sink ends', async (t) => {
  for (const greeting of ['', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{']) {
    let asked = 0;
    const port = await listen(
      t,
      createTcpServer((socket) => {
        socket.on('error', () => {});
        socket.on('data', () => {
          asked += 1;
          socket.write(greeting);
        });
      }),
    );
    const stop = new AbortController();
    const sent = failureOf(transportTo(t, `http://127.0.0.1:${port}/`, { format: 'hec' }).send(lines, stop.signal));
    await until(() => asked > 0);
    stop.abort();
    t.equal((await sent).kind, 'again');
  }
});

t.test('a receiver that closes idle connections takes the next batch on another one', async (t) => {
  let connections = 0;
  const server = createServer((request, response) => {
    request.resume().on('end', () => response.end(() => request.socket.end()));
  });
  server.on('connection', () => {
    connections += 1;
  });
  const port = await listen(t, server);
  const { send } = transportTo(t, `http://127.0.0.1:${port}/`);
  await send(lines, signal);
  await send(lines, signal).catch(() => send(lines, signal));
  t.ok(connections >= 2);
});

t.test(
  'TLS: an authority that is not named, a name that is not that of the certificate, and the right ones through a proxy',
  async (t) => {
    const { authority, stranger } = await createTestCertificates();
    const issued = await authority.issue({
      commonName: 'siem.example.com',
      dnsNames: ['siem.example.com'],
      server: true,
    });
    let requests = 0;
    const server = createTlsServer({ cert: issued.certificatePem, key: issued.keyPem }, (request, response) => {
      requests += 1;
      request.resume().on('end', () => response.end());
    });
    server.on('tlsClientError', () => {});
    const port = await listen(t, server);
    const files = createNamedFiles(
      new Map([
        ['ca', Buffer.from(authority.certificatePem)],
        ['stranger', Buffer.from(stranger.certificatePem)],
      ]),
    );
    const proxy = await startConnectProxy();
    t.teardown(() => proxy.close());
    const through = { files, egress: { https: proxy.url, http: undefined, except: [] } };
    const url = `https://siem.example.com:${port}/in`;
    const to = (caFile: string | undefined, address = url) =>
      transportTo(t, address, { caFile }, through).send(lines, signal);
    t.equal((await failureOf(to(undefined))).kind, 'again');
    t.equal((await failureOf(to('stranger'))).kind, 'again');
    t.match(await failureOf(to('ca', `https://127.0.0.1:${port}/`)), {
      kind: 'again',
      message: /certificate's altnames|Hostname/i,
    });
    t.equal(requests, 0, 'no record went out');
    await to('ca');
    t.equal(requests, 1);
    t.ok(proxy.tunnels.includes(`siem.example.com:${port}`));
  },
);
