// A call is under way at the upstream, and bad bytes follow on its connection, from a faulty client or from whoever shares a connection through a
// proxy. A gateway that answers them under the id of the call says 400 of what is carried out, and its client repeats the call.
import type { ServerResponse } from 'node:http';
import t, { type Test } from 'tap';
import { codeOf, host, post, request } from '../support/attack.ts';
import { type RawConnection, rawConnection, talk } from '../support/raw-http.ts';
import { startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';

const waiting: ServerResponse[] = [];
const result = JSON.stringify({ jsonrpc: '2.0', id: 'SLOW', result: { content: [] } });
const scenario = await startScenario(
  t,
  { server: { limits: { receiveTimeout: '1s' } } },
  { reply: (_request, response) => void waiting.push(response) },
);
const { upstream } = scenario;
const call = post({ jsonrpc: '2.0', id: 'SLOW', method: 'tools/call', params: { name: 'list_dashboards' } });
const answerAll = (body: string): void => {
  for (const response of waiting.splice(0)) response.writeHead(200, { 'content-type': 'application/json' }).end(body);
};

/** Sends calls, and waits until the upstream has them. */
async function underWay(...calls: string[]): Promise<RawConnection> {
  const seen = upstream.requests.length;
  const connection = await rawConnection(scenario.port);
  for (const each of calls) connection.write(each);
  await upstream.received(seen + calls.length);
  return connection;
}

const completed = async (from: number) =>
  (await scenario.records()).filter(({ seq, stage }) => seq > from && stage === 'completed');
const lastSeq = async () => (await scenario.records()).at(-1)?.seq ?? 0;

const bad: Readonly<Record<string, [status: number, code: string, bytes: string]>> = {
  'GARBAGE\\r\\n\\r\\n': [400, 'bad_request', 'GARBAGE\r\n\r\n'],
  'two Content-Lengths': [
    400,
    'bad_request',
    request('POST /open/y', [host, 'Content-Length: 2', 'Content-Length: 3'], '{}'),
  ],
  CONNECT: [405, 'method_not_allowed', 'CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n'],
  'a header without a name': [400, 'bad_request', 'GET /open/y HTTP/1.1\r\n: x\r\n\r\n'],
  'a head that is too large': [431, 'headers_too_large', request('GET /open/y', [host, `A: ${'a'.repeat(40_000)}`])],
};

async function answersInTurn(t: Test, name: string, calls: string[], body: string): Promise<void> {
  const [status, code, bytes] = bad[name]!;
  const before = await lastSeq();
  const connection = await underWay(...calls);
  const seen = upstream.requests.length;
  connection.write(bytes);
  // More of it is dropped.
  connection.write(bytes);
  // It is read before the answer is there: these bytes came later, and are answered.
  await talk(scenario.port, bytes);
  answerAll(body);
  const { answers } = await connection.closed();
  connection.end();
  t.match(
    answers,
    [...calls.map(() => ({ status: 200, body })), { status, headers: { connection: 'close' } }],
    `${name}: the call has its own answer, the bad bytes theirs behind it`,
  );
  t.equal(answers.length, calls.length + 1);
  t.equal(codeOf(answers.at(-1)!), code);
  t.notMatch(answers.at(-1)!.body, 'SLOW');
  t.equal(upstream.requests.length, seen, 'nothing of the bad bytes goes on');
  for (const { headers } of answers)
    await scenario.record(({ id, stage }) => id === headers['x-request-id'] && stage === 'completed');
  const records = await completed(before);
  t.equal(records.length, answers.length + 1, 'and one of the bytes that came alone');
  for (const { headers, status } of answers) {
    t.match(
      records.find(({ id }) => id === headers['x-request-id']),
      status === 200 ? { outcome: 'completed', status: 200 } : { outcome: 'refused', status, reason: code },
    );
  }
}

for (const name of Object.keys(bad)) {
  t.test(`${name} behind a call that is under way`, (t) => answersInTurn(t, name, [call], result));
}

t.test('GARBAGE behind three calls, and behind an answer that is large', async (t) => {
  const get = request('GET /open/x', [host]);
  await answersInTurn(t, 'GARBAGE\\r\\n\\r\\n', [get, call, get], result);
  const large = JSON.stringify({ text: 'x'.repeat(4_000_000) });
  await answersInTurn(t, 'GARBAGE\\r\\n\\r\\n', [get], large);
  await answersInTurn(t, 'CONNECT', [get], large);
});

t.test('a half head behind a call is out of time: the call is not', async (t) => {
  const connection = await underWay(call);
  connection.write('GET /open/half HTTP/1.1\r\nHost: mcp');
  // One that came later is out of time.
  await talk(scenario.port, 'GET /open/half HTTP/1.1\r\nHost: mcp');
  answerAll(result);
  const { answers } = await connection.closed();
  connection.end();
  t.match(answers, [{ status: 200, body: result }, { status: 408 }]);
});

t.test('a client that leaves behind its bad bytes has left the call', async (t) => {
  for (const bytes of ['GARBAGE\r\n\r\n', bad.CONNECT![2], 'GET /half HTTP/1.1\r\nHo']) {
    for (const leave of ['end', 'resetAndDestroy'] as const) {
      const before = await lastSeq();
      const connection = await underWay(call);
      connection.write(bytes);
      await talk(scenario.port, 'GARBAGE\r\n\r\n');
      connection.socket[leave]();
      await until(async () => (await scenario.status()).openRequests === 0);
      const record = await scenario.record(
        ({ seq, stage, http }) => seq > before && http?.path === '/mcp' && stage === 'completed',
      );
      t.match(record, { outcome: 'aborted' }, `${leave} behind ${JSON.stringify(bytes)}`);
      connection.end();
      answerAll(result);
    }
  }
});

t.test('a chunk that is none breaks the request whose body it is', async (t) => {
  const connection = await rawConnection(scenario.port);
  const seen = upstream.requests.length;
  connection.write(
    request('POST /mcp', ['Transfer-Encoding: chunked', 'Content-Type: application/json'], '2\r\n{}\r\nZ\r\n'),
  );
  const { answers } = await connection.closed();
  t.match(answers, [{ status: 400 }]);
  t.equal(answers.length, 1);
  t.equal(upstream.requests.length, seen);
  t.match(
    await scenario.record(({ id, stage }) => id === answers[0]!.headers['x-request-id'] && stage === 'completed'),
    { reason: 'bad_request', http: { path: '/mcp' } },
  );
});
