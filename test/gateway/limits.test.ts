// Bounds of what callers can use up: time, bodies, connections, descriptors, metric series; and a process that outlives all of it.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { type ServerResponse, request as sendRequest } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { assertRefused, attack, host, post, request, withKey } from '../support/attack.ts';
import { toolCall } from '../support/client.ts';
import { configure, yamlOf } from '../support/configuration.ts';
import { rawConnection, rawRequest, talk } from '../support/raw-http.ts';
import { startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';
import { startUpstream } from '../support/upstream.ts';

t.test('a request that does not arrive is 408 with a record; an answer may take its time (D1)', async (t) => {
  const waiting: ServerResponse[] = [];
  const scenario = await startScenario(
    t,
    { server: { limits: { receiveTimeout: '300ms' } } },
    { reply: (_request, response) => void waiting.push(response) },
  );
  const { port, upstream } = scenario;
  const long = await rawConnection(port);
  long.write(post(toolCall('list_dashboards')));
  await upstream.received(1);
  const timeout = { status: 408, code: 'request_timeout', closes: true };
  const json = 'Content-Type: application/json';
  const [body, chunks, head] = await Promise.all([
    attack(scenario, request('POST /mcp', [json, 'Content-Length: 10'], '{')),
    attack(scenario, request('POST /mcp', [json, 'Transfer-Encoding: chunked'], '5\r\nhal')),
    attack(scenario, `GET /api/x HTTP/1.1\r\n${host}\r\nX: `),
  ]);
  assertRefused(t, 'half a body', body, { ...timeout, http: { method: 'POST', path: '/mcp' } });
  assertRefused(t, 'half a chunk', chunks, { ...timeout, http: { method: 'POST', path: '/mcp' } });
  assertRefused(t, 'half a head', head, timeout);
  const streamed = await attack(scenario, request('POST /api/x', ['Content-Length: 10'], '{'));
  t.match(streamed.answer, { status: 408, headers: { connection: 'close' } }, 'half a body on a path route');
  const failed = { decision: 'allow', outcome: 'failed', reason: 'request_timeout', status: 408 };
  t.match(streamed.record, failed, 'which was decided before its body came');
  for (const response of waiting) response.end('{}');
  t.match((await long.answers()).answers, [{ status: 200 }], 'the call from before all of this');
  t.equal(upstream.requests.length, 1);
  long.end();
});

t.test(
  'a body that is too large is 413, by its length before it comes, by its chunks as soon as it shows',
  async (t) => {
    const scenario = await startScenario(t, { server: { limits: { bodyBytes: '64KiB' } } });
    const { port, upstream } = scenario;
    const expected = { status: 413, code: 'body_too_large', closes: true, http: { method: 'POST', path: '/api/x' } };
    const announced = await attack(scenario, request('POST /api/x', ['Content-Length: 65537']));
    assertRefused(t, 'announced', announced, expected);
    const asked = await attack(scenario, request('POST /api/x', ['Content-Length: 65537', 'Expect: 100-continue']));
    assertRefused(t, 'asked for', asked, expected);
    const chunk = `8000\r\n${'x'.repeat(0x8000)}\r\n`;
    const chunked = await attack(
      scenario,
      request('POST /api/x', ['Transfer-Encoding: chunked'], `${chunk}${chunk}1\r\nx\r\n`),
    );
    t.match(chunked.answer, { status: 413, headers: { connection: 'close' } }, 'chunked');
    const failed = { decision: 'allow', outcome: 'failed', reason: 'body_too_large', status: 413 };
    t.match(chunked.record, failed, 'which was decided before its body came');
    t.equal(upstream.requests.length, 0, 'and never whole at the upstream');
    const rpc = await attack(scenario, post('x'.repeat(65_537)));
    assertRefused(t, 'on an MCP route', rpc, { ...expected, http: { method: 'POST', path: '/mcp' } });
    const before = upstream.requests.length;
    for (const framing of ['Content-Length: 65536', 'Transfer-Encoding: chunked']) {
      const bytes = framing.startsWith('C') ? 'x'.repeat(65_536) : `${chunk}${chunk}0\r\n\r\n`;
      const { answers } = await talk(port, request('POST /api/x', [framing], bytes));
      t.match(answers, [{ status: 200 }], `just as much as is allowed: ${framing}`);
    }
    t.same(
      upstream.requests.slice(before).map((each) => each.body.length),
      [65_536, 65_536],
    );
    const endless = await rawConnection(port);
    endless.write(request('POST /api/x', ['Transfer-Encoding: chunked']));
    const pump = setInterval(() => endless.write(chunk), 1);
    const { answers } = await endless.answers();
    t.match(answers, [{ status: 413 }], 'who never stops sending is told, too');
    await endless.closed();
    clearInterval(pump);
  },
);

t.test('what callers make up never becomes a metric series (M1)', async (t) => {
  const scenario = await startScenario(t);
  const series = async () => (await scenario.metrics()).split('\n').filter((line) => line.startsWith('portcullis_'));
  let serial = 0;
  const made = () => `zq${(serial++).toString(36)}`;
  const kinds = [
    () => request(`GET /${made()}`),
    () => request(`GET /api/${made()}?${made()}=${made()}`),
    () => request(`POST /open/${made()}`, ['Content-Length: 0']),
    () => request(`PROPFIND /api/${made()}`),
    () => request('GET /api/x', [host, withKey, `Origin: https://${made()}.example`]),
    () => request('GET /api/x', [host, `Authorization: Bearer sk_${made()}`]),
    () => request('GET /api/x', [host, `Authorization: Bearer ${made()}`]),
    () => request('GET /api/x', [host, `Authorization: ${made()} x`]),
    () => post(toolCall(made())),
    () => post({ jsonrpc: '2.0', id: made(), method: `${made()}/call`, params: {} }),
    () => post(toolCall('list_dashboards', { [made()]: made() }), [host, withKey, `Mcp-Session-Id: ${made()}`]),
    () => post({ jsonrpc: '2.0', id: 1, method: 'resources/read', params: { uri: `x://${made()}` } }),
    // Last, since it closes the connection.
    () => request('GET /api/x', [`Host: ${made()}.example`, withKey]),
  ];
  const send = async (rounds: number) => {
    for (let round = 0; round < rounds; round += 1) {
      const bytes = kinds.map((kind) => kind()).join('');
      const { answers } = await talk(scenario.port, bytes, kinds.length);
      if (answers.length !== kinds.length) throw new Error('not all were answered');
    }
  };
  await send(3);
  const before = await series();
  await Promise.all([send(20), send(20)]);
  const after = await series();
  t.equal(after.length, before.length, `${serial} made-up names, ${after.length} series`);
  t.ok(after.length < 2000);
  t.notMatch(after.join('\n'), /zq/, 'not one of them is a label');
  const values = (label: string) =>
    [
      ...new Set([...after.join('\n').matchAll(new RegExp(`[{,]${label}="([^"]*)"`, 'g'))].map((match) => match[1])),
    ].sort();
  t.strictSame(values('route'), ['/api/*', '/mcp', '/open/*', 'none']);
  t.strictSame(values('tool'), ['list_dashboards', 'other']);
  t.strictSame(values('outcome'), ['completed', 'refused']);
  t.strictSame(values('authenticator'), ['keys', 'none']);
  t.strictSame(values('upstream'), ['superset']);
});

t.test(
  'connections beyond the limit are closed and counted, and there is room again when one leaves (D1)',
  async (t) => {
    const scenario = await startScenario(t, { server: { limits: { connections: 4 } } });
    const { port } = scenario;
    const held = await Promise.all(Array.from({ length: 4 }, () => rawConnection(port)));
    for (const connection of held) {
      connection.write(request('GET /health'));
      t.match((await connection.answers()).answers, [{ status: 200 }]);
    }
    for (let index = 0; index < 3; index += 1) {
      const { closed, text } = await talk(port, request('GET /health'));
      t.ok(closed);
      t.equal(text, '');
    }
    const labels = { route: 'none', outcome: 'refused', status: 'overloaded' };
    t.equal(await scenario.metric('portcullis_requests_total', labels), 3);
    held[0]!.write(request('GET /health'));
    t.match((await held[0]!.answers(2)).answers, [{ status: 200 }, { status: 200 }], 'those inside are served on');
    held[3]!.end();
    await until(async () => (await talk(port, request('GET /health'))).answers[0]?.status === 200);
    for (const connection of held) connection.end();
  },
);

interface Child {
  readonly process: ChildProcess;
  readonly port: number;
  readonly adminPort: number;
  readonly log: string[];
}

/** The command itself, from the sources, with few descriptors; SIGUSR2 makes an error that nobody catches. */
async function startChild(t: Test, upstreamUrl: string, descriptors: number): Promise<Child> {
  const directory = t.testdir({});
  const file = join(directory, 'gateway.yaml');
  await writeFile(file, yamlOf(configure({ upstreamUrl, issuer: 'http://127.0.0.1:9' })));
  const planted = `process.on('SIGUSR2', () => { setImmediate(() => { throw new Error('planted') }); Promise.reject(new Error('planted too')) })`;
  const command = `ulimit -n ${descriptors}; exec "$0" --import "$1" src/main.ts serve -c "$2"`;
  const child = spawn(
    'sh',
    ['-c', command, process.execPath, `data:text/javascript,${encodeURIComponent(planted)}`, file],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE },
    },
  );
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  const log: string[] = [];
  const lines = createInterface({ input: child.stderr! });
  const listening = new Promise<{ port: number; adminPort: number }>((resolve, reject) => {
    lines.on('line', (line) => {
      log.push(line);
      if (line.includes('portcullis is listening')) resolve(JSON.parse(line));
    });
    child.on('exit', (code) => reject(new Error(`ended with ${code}: ${log.join('\n')}`)));
  });
  return { process: child, log, ...(await listening) };
}

t.test('out of descriptors, and after errors that nobody foresaw, the process serves on', async (t) => {
  const held: ServerResponse[] = [];
  let hold = true;
  const upstream = await startUpstream({
    reply: (_request, response) => {
      if (!hold) return void response.end('{}');
      held.push(response);
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n');
    },
  });
  t.teardown(upstream.close);
  const child = await startChild(t, upstream.url, 46);
  const outcomes = new Map<string, number>();
  const clients = Array.from({ length: 120 }, () => {
    const client = sendRequest({
      host: '127.0.0.1',
      port: child.port,
      path: '/open/x',
      agent: false,
      headers: { host: 'localhost' },
    });
    const settled = new Promise<void>((resolve) => {
      const note = (what: string) => {
        outcomes.set(what, (outcomes.get(what) ?? 0) + 1);
        resolve();
      };
      client.on('response', (response) => {
        response.on('error', () => {});
        note(String(response.statusCode));
      });
      client.on('error', () => note('closed'));
    });
    client.end();
    return { client, settled };
  });
  await Promise.all(clients.map(({ settled }) => settled));
  const served = outcomes.get('200') ?? 0;
  t.ok(served > 0 && served < 60, `${JSON.stringify([...outcomes])}`);
  t.same(
    [...outcomes.keys()].filter((each) => !['200', '503', 'closed'].includes(each)),
    [],
    'served, refused or closed',
  );
  t.equal(child.process.exitCode, null);
  hold = false;
  for (const response of held) response.end();
  for (const { client } of clients) client.destroy();
  const again = rawRequest(['GET /open/x HTTP/1.1', 'Host: localhost', 'Connection: close']);
  const answers = async () => (await talk(child.port, again)).answers[0]?.status === 200;
  await until(answers, 'with descriptors again, it answers again');

  child.process.kill('SIGUSR2');
  await until(() => child.log.filter((line) => line.includes('caught at the top')).length === 2);
  await until(answers);
  t.equal((await fetch(`http://127.0.0.1:${child.adminPort}/livez`)).status, 200);
  t.ok(
    child.log.some((line) => line.includes('planted too')) && child.log.some((line) => /"planted"/.test(line)),
    'both are in the log',
  );
  child.process.kill('SIGINT');
  const [code] = await once(child.process, 'exit');
  t.equal(code, 0);
});

t.test('a reload changes the limits of the running listener', async (t) => {
  const scenario = await startScenario(t);
  const { port } = scenario;
  const long = request(`GET /api/${'a'.repeat(200)}`);
  t.match((await talk(port, long)).answers, [{ status: 200 }]);
  await scenario.reload({ server: { limits: { urlBytes: '100B', bodyBytes: '10B', connections: 1 } } });
  t.match((await talk(port, long)).answers, [{ status: 414 }]);
  const body = request('POST /api/x', ['Content-Length: 11'], 'x'.repeat(11));
  t.match((await talk(port, body)).answers, [{ status: 413 }]);
  const first = await rawConnection(port);
  first.write(request('GET /health'));
  await first.answers();
  t.equal((await talk(port, request('GET /health'))).text, '', 'the second connection');
  first.end();
});
