// Attack: request smuggling behind a refusal. The answer says that the rest of the connection cannot be trusted, and the request that is pipelined
// behind the refused one is carried out all the same. Row C3 of faults.md.
import t from 'tap';
import { codeOf, host, post, request, withKey } from '../support/attack.ts';
import { rawConnection, rawRequest } from '../support/raw-http.ts';
import { startScenario } from '../support/scenario.ts';

const scenario = await startScenario(t, {
  server: { limits: { bodyBytes: '1KiB' } },
  routes: { '/ws': { authenticate: 'none', websocket: true } },
});
const { port, upstream } = scenario;

const behind = {
  'a request': request('GET /open/behind', [host]),
  'a call': post({ jsonrpc: '2.0', id: 1, method: 'tools/list' }),
  'a WebSocket': request('GET /ws', [
    host,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Key: eA==',
    'Sec-WebSocket-Version: 13',
  ]),
};
const chunk = `400\r\n${'x'.repeat(1024)}\r\n`;
const tooMany = Array.from({ length: 201 }, (_, index) => `h${index}: 1`);
const refused: Readonly<Record<string, [status: number, code: string, bytes: string]>> = {
  'a GET with a body': [400, 'bad_request', request('GET /open/x', [host, 'Content-Length: 2'], '{}')],
  'a coding besides chunked': [
    501,
    'not_implemented',
    request('POST /open/x', [host, 'Transfer-Encoding: gzip, chunked'], '0\r\n\r\n'),
  ],
  'a header twice': [400, 'duplicate_header', request('GET /open/x', [host, 'Mcp-Name: a', 'Mcp-Name: b'])],
  'two credentials': [400, 'duplicate_header', request('GET /api/x', [host, withKey, withKey])],
  'a bad target': [400, 'bad_path', request('GET /open//x', [host])],
  'a dot segment': [400, 'bad_path', request('GET /open/%2e%2e/mcp', [host])],
  'a long target': [414, 'url_too_long', request(`GET /open/${'a'.repeat(9000)}`, [host])],
  'too many headers': [431, 'headers_too_large', request('GET /open/x', [host, ...tooMany])],
  'an expectation': [417, 'expectation_failed', request('GET /open/x', [host, 'Expect: 200-ok'])],
  'no Host': [400, 'bad_request', rawRequest(['GET /open/x HTTP/1.1'])],
  'an empty Host': [400, 'bad_request', request('GET /open/x', ['Host: '])],
  'a Host that is not ours': [421, 'bad_host', request('GET /open/x', ['Host: other.example'])],
  'a body announced too large': [413, 'body_too_large', post('x'.repeat(1025))],
  'a body that is too large': [
    413,
    'body_too_large',
    request('POST /open/x', [host, 'Transfer-Encoding: chunked'], `${chunk}1\r\nx\r\n0\r\n\r\n`),
  ],
  'not HTTP': [400, 'bad_request', 'nonsense\r\n\r\n'],
};

t.test('pipelined behind a request that was refused with Connection: close', async (t) => {
  let attacks = 0;
  for (const [name, [status, code, bytes]] of Object.entries(refused)) {
    for (const [what, next] of Object.entries(behind)) {
      const connection = await rawConnection(port);
      connection.write(bytes + next);
      // In a read of its own, when the answer is already there.
      await connection.answers();
      connection.write(next);
      const { answers } = await connection.closed();
      connection.end();
      t.match(answers, [{ status, headers: { connection: 'close' } }], `${what} behind ${name}`);
      t.equal(answers.length, 1);
      t.equal(codeOf(answers[0]!), code);
      const id = answers[0]!.headers['x-request-id'];
      const record = await scenario.record((each) => each.id === id && each.stage === 'completed');
      t.match(record, { reason: code, status });
      attacks += 1;
    }
  }
  t.equal(upstream.requests.length, 0, 'the upstream got nothing');
  const completed = (await scenario.records()).filter(({ stage }) => stage === 'completed');
  t.equal(completed.length, attacks, 'and what stood behind has no record');
});

t.test('what came before the refused request is carried out, and answered first', async (t) => {
  const seen = upstream.requests.length;
  const connection = await rawConnection(port);
  const [, , bad] = refused['a bad target']!;
  connection.write(request('GET /open/1', [host]) + request('GET /open/2', [host]) + bad + behind['a request']);
  const { answers } = await connection.closed();
  t.strictSame(
    answers.map(({ status }) => status),
    [200, 200, 400],
  );
  t.strictSame(
    upstream.requests.slice(seen).map(({ url }) => url),
    ['/open/1', '/open/2'],
  );
});

t.test('behind a refusal that leaves the connection open, the next request is taken', async (t) => {
  const connection = await rawConnection(port);
  connection.write(request('GET /nowhere', [host]) + request('GET /api/x', [host]) + behind['a request']);
  const { answers } = await connection.answers(3);
  connection.end();
  t.strictSame(
    answers.map(({ status }) => status),
    [404, 401, 200],
  );
});
