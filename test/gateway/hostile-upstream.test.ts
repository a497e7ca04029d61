// Broken and hostile upstreams of the running gateway, and callers that harm upstreams: rows U1 to U3 of the threat table.
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import t from 'tap';
import { codeOf, host, post, withKey } from '../support/attack.ts';
import { toolCall } from '../support/client.ts';
import type { AuditRecord } from '../support/gateway.ts';
import { rawConnection, rawRequest, talk } from '../support/raw-http.ts';
import { startScenario } from '../support/scenario.ts';
import { until, untilAtRest } from '../support/until.ts';
import { closedPort, faults, type RecordedRequest, startRawUpstream, startUpstream } from '../support/upstream.ts';

/** The fault is the last segment of the path. */
const broken = await startRawUpstream((socket, request) => {
  const fault = request.url.split('/').at(-1) as keyof typeof faults;
  faults[fault](socket);
});
const scripts = new Map<string, (response: ServerResponse, request: RecordedRequest) => void>();
const scripted = await startUpstream({
  reply: (request, response) => scripts.get(request.url.split('?')[0]!)!(response, request),
});
const down = await closedPort();
t.teardown(() => Promise.all([broken.close(), scripted.close()]));
const scenario = await startScenario(
  t,
  {
    upstreams: {
      broken: { url: broken.url, timeouts: { firstByte: '300ms', idle: '300ms' } },
      down: { url: down },
    },
    routes: {
      '/broken/*': { upstream: 'broken', authenticate: 'none' },
      '/down': { upstream: 'down', authenticate: 'none' },
    },
  },
  { upstream: scripted },
);
const { port } = scenario;

const completed = (path: string, seen = 0): Promise<AuditRecord> =>
  scenario.record(({ stage, http, seq }) => stage === 'completed' && http?.path === path && seq > seen);
const ask = (method: string, path: string, ...headers: string[]) =>
  talk(port, rawRequest([`${method} ${path} HTTP/1.1`, host, ...headers]));

/** No address, cause or word of a library. */
const leak = /127\.0\.0\.1|localhost|ECONN|UND_ERR|undici|HPE_|parse|stack|node:|\.ts|\.js|socket|portcullis/i;

const activeStreams = (route: string) => scenario.metric('portcullis_active_streams', { route });

t.test(
  'an upstream without a usable answer is 502 or 504, told to nobody in detail, and a POST is sent once',
  async (t) => {
    const expected = {
      resetsAtOnce: 502,
      closesAtOnce: 502,
      interimStorm: 502,
      status99: 502,
      status600: 502,
      switchesProtocols: 502,
      switchesToNothing: 502,
      hugeHeader: 502,
      headerWithLineBreak: 502,
      headerWithNul: 502,
      twoLengths: 502,
      lengthAndChunks: 502,
      notHttp: 502,
      silent: 504,
    };
    for (const [fault, status] of Object.entries(expected)) {
      const path = `/broken/${fault}`;
      const before = broken.requests.length;
      const { answers, text } = await ask('POST', path, 'Content-Length: 0');
      const [answer] = answers;
      const code = status === 502 ? 'bad_upstream' : 'upstream_timeout';
      t.match({ status: answer?.status, code: answer && codeOf(answer) }, { status, code }, fault);
      t.equal(answer?.headers['content-type'], 'application/problem+json', fault);
      t.notMatch(text, leak, `${fault}: no leak`);
      t.notOk(text.includes(String(broken.port)), `${fault}: no port`);
      t.equal(broken.requests.length, before + 1, `${fault}: sent once`);
      const record = await completed(path);
      t.match(
        record,
        { decision: 'allow', reason: code, status, outcome: 'failed', upstream: { name: 'broken' } },
        fault,
      );
    }
    const refused = await ask('POST', '/down', 'Content-Length: 0');
    t.match(refused.answers, [{ status: 502, json: { code: 'bad_upstream' } }]);
    t.notMatch(refused.text, leak);
    t.match(await completed('/down'), { outcome: 'failed', status: 502, reason: 'bad_upstream' });
  },
);

t.test('on an MCP route the caller gets the failure as a JSON-RPC error with its id', async (t) => {
  scripts.set('/mcp', (response) => response.destroy());
  const before = scripted.requests.length;
  const { answers } = await talk(port, post(toolCall('list_dashboards')));
  t.match(answers, [{ status: 502, json: { jsonrpc: '2.0', id: 1, error: { data: { code: 'bad_upstream' } } } }]);
  t.equal(scripted.requests.length, before + 1, 'a call is never repeated');
});

t.test('an answer that breaks off costs the client its connection, and the record says it failed', async (t) => {
  for (const fault of ['breaksOffHalfWay', 'endsShort', 'breaksOffInChunks', 'stallsHalfWay'] as const) {
    const path = `/broken/${fault}`;
    const before = broken.requests.length;
    const connection = await rawConnection(port);
    connection.write(rawRequest([`POST ${path} HTTP/1.1`, host, 'Content-Length: 0']));
    const { answers, text, closed } = await connection.closed();
    t.ok(closed, `${fault}: the connection is closed`);
    t.equal(answers.length, 0, `${fault}: no whole answer`);
    t.match(text, /^HTTP\/1\.1 200 [\s\S]*half /, `${fault}: what came was passed on`);
    t.notMatch(text, /\r\n0\r\n\r\n$/, `${fault}: and never ended cleanly`);
    t.equal(broken.requests.length, before + 1, `${fault}: sent once`);
    t.match(await completed(path), { outcome: 'failed', status: 200, decision: 'allow', bytes: 5 }, fault);
  }
});

t.test('what an upstream says about itself is not passed on: credentials, cookies, protocols', async (t) => {
  for (const status of [401, 407]) {
    scripts.set('/open/who', (response) => {
      response.writeHead(status, { 'www-authenticate': 'Bearer realm="inner"', 'proxy-authenticate': 'Basic' });
      response.end('who are you');
    });
    const { answers, text } = await ask('GET', '/open/who');
    t.match(answers, [{ status: 502, json: { code: 'bad_upstream' } }]);
    t.notMatch(text, /realm|who are you|authenticate/i);
  }
  scripts.set('/open/cookie', (response) => {
    response.writeHead(200, {
      'set-cookie': 'session=1',
      'access-control-allow-origin': '*',
      'strict-transport-security': 'max-age=1',
      connection: 'x-hop',
      'x-hop': '1',
      server: 'Werkzeug/3',
    });
    response.end('{}');
  });
  const { text } = await ask('GET', '/open/cookie');
  t.notMatch(text, /set-cookie|access-control|strict-transport|x-hop|werkzeug/i);
});

t.test('a redirect is the client’s to follow, never the gateway’s', async (t) => {
  const trap = await startUpstream();
  t.teardown(trap.close);
  for (const location of [`${trap.url}/internal`, 'http://169.254.169.254/latest/meta-data', '/open/elsewhere']) {
    scripts.set('/open/moved', (response) => void response.writeHead(302, { location }).end());
    const before = scripted.requests.length;
    const { answers } = await ask('GET', '/open/moved');
    t.match(answers, [{ status: 302, headers: { location } }]);
    t.equal(scripted.requests.length, before + 1);
  }
  t.equal(trap.connections(), 0);
});

t.test('a client that leaves takes the upstream’s work with it, before and in the middle of the answer', async (t) => {
  scripts.set('/open/slow', () => {});
  scripts.set('/open/stream', (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n');
  });
  for (const [path, status] of [
    ['/open/slow', undefined],
    ['/open/stream', 200],
  ] as const) {
    const before = scripted.requests.length;
    const connection = await rawConnection(port);
    connection.write(rawRequest([`POST ${path} HTTP/1.1`, host, 'Content-Length: 0']));
    await scripted.received(before + 1);
    if (status !== undefined) await once(connection.socket, 'data');
    connection.end();
    const record = await completed(path);
    t.match(record, { outcome: 'aborted', decision: 'allow' }, path);
    t.equal(record.status, status, path);
    const received = scripted.requests[before]!;
    await until(() => received.aborted);
    t.equal(scripted.requests.length, before + 1, `${path}: not sent again`);
  }
  t.equal(await activeStreams('/open/*'), 0);
});

t.test('events reach the client one by one, and open streams are counted', async (t) => {
  let upstream: ServerResponse | undefined;
  scripts.set('/mcp', (response) => {
    upstream = response;
    response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
  });
  const connection = await rawConnection(port);
  let text = '';
  connection.socket.on('data', (chunk) => {
    text += chunk;
  });
  const saw = async (what: string) => {
    while (!text.includes(what)) await once(connection.socket, 'data');
  };
  connection.write(post(toolCall('list_dashboards'), [host, withKey, 'Accept: application/json, text/event-stream']));
  await saw('\r\n\r\n');
  t.match(text, /^HTTP\/1\.1 200 .*content-type: text\/event-stream/is, 'the head comes before any event');
  t.equal(await activeStreams('/mcp'), 1);
  for (const event of ['first', 'second', 'third']) {
    t.notOk(text.includes(event));
    upstream!.write(`data: ${event}\n\n`);
    await saw(`data: ${event}\n\n`);
  }
  upstream!.end();
  await connection.answers();
  connection.end();
  const record = await completed('/mcp', (await scenario.records()).findLast(({ stage }) => stage === 'decided')!.seq);
  t.match(record, { outcome: 'completed', status: 200, mcp: { tool: 'list_dashboards' } });
  t.equal(await activeStreams('/mcp'), 0);
});

t.test('a client that does not read stops the upstream from writing, in bounded memory', async (t) => {
  const chunk = Buffer.alloc(65_536, 'x');
  let written = 0;
  let stalled = 0;
  let waiting = false;
  scripts.set('/open/flood', (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const flood = (): void => {
      while (!response.destroyed && written < 500_000_000) {
        written += chunk.length;
        if (response.write(chunk)) continue;
        waiting = true;
        stalled = written;
        response.once('drain', () => {
          waiting = false;
          flood();
        });
        return;
      }
    };
    flood();
  });
  const connection = await rawConnection(port);
  connection.socket.pause();
  connection.write(rawRequest(['GET /open/flood HTTP/1.1', host]));
  await untilAtRest(() => (waiting ? stalled : Number.NaN), 'the upstream');
  t.ok(written < 50_000_000, `the upstream came to rest after ${written} bytes`);
  connection.end();
  t.match(await completed('/open/flood'), { outcome: 'aborted', status: 200 });
});

t.test('after all of this the gateway serves on, and not one failure was its own', async (t) => {
  scripts.set('/open/fine', (response) => void response.end('{}'));
  t.match((await ask('GET', '/open/fine')).answers, [{ status: 200, body: '{}' }]);
  t.notOk((await scenario.records()).some(({ status }) => status === 500));
  t.equal((await scenario.status()).openRequests, 0);
});
