// Answers without a body: the statuses and methods that have none, with the lengths that real upstreams announce beside them.
import t from 'tap';
import { host, post, withKey } from '../support/attack.ts';
import { toolCall } from '../support/client.ts';
import { rawRequest, talk } from '../support/raw-http.ts';
import { type Scenario, startScenario } from '../support/scenario.ts';
import { startRawUpstream, type TestUpstream } from '../support/upstream.ts';

/** The head is the name of the called tool, or the query of the path, with `;` for line breaks. The connection stays open, as that of most upstreams. */
async function startScripted(): Promise<Scenario<TestUpstream>> {
  const upstream = await startRawUpstream((socket, { body, url }) => {
    const script = url.startsWith('/mcp')
      ? JSON.parse(String(body)).params.arguments.head
      : decodeURIComponent(url.slice(url.indexOf('?') + 1));
    socket.write(`HTTP/1.1 ${script.replaceAll(';', '\r\n')}`);
  });
  t.teardown(upstream.close);
  return startScenario<TestUpstream>(t, {}, { upstream });
}

const scenario = await startScripted();
const { port, upstream } = scenario;

const pathOf = (head: string): string => `/open/x?${encodeURIComponent(head)}`;

/** The answers to the same script on a path route and on an MCP route, and how each was recorded. */
async function answersTo(head: string) {
  const onPath = rawRequest([`GET ${pathOf(head)} HTTP/1.1`, host]);
  const answers = [];
  for (const request of [onPath, post(toolCall('list_dashboards', { head }), [host, withKey])]) {
    const before = upstream.requests.length;
    const { answers: got, text } = await talk(port, request);
    t.equal(upstream.requests.length, before + 1, 'sent once');
    const answer = got.at(-1)!;
    const record = await scenario.recordOf({ id: answer.headers['x-request-id']! });
    answers.push({ ...answer, text, outcome: record.outcome, reason: record.reason });
  }
  return answers;
}

t.test('304 with Content-Length passes at once with its validators, on path and MCP routes', async (t) => {
  const heads = [
    '304 Not Modified;ETag: "a";Content-Length: 5;Vary: Accept;;',
    '304 Not Modified;ETag: "a";Content-Length: 99999999;;',
    '304 Not Modified;ETag: "a";Transfer-Encoding: chunked;;',
    '304 Not Modified;ETag: "a";Content-Length: 5;;hello',
  ];
  for (const head of heads) {
    for (const { status, headers, text, outcome } of await answersTo(head)) {
      t.match({ status, headers, outcome }, { status: 304, headers: { etag: '"a"' }, outcome: 'completed' }, head);
      t.equal(headers['content-length'], /Content-Length: (\d+)/.exec(head)?.[1]);
      t.ok(text.endsWith('\r\n\r\n'), 'and nothing behind its head');
    }
  }
});

t.test('an answer to HEAD keeps its Content-Length, whatever the status', async (t) => {
  for (const status of [200, 304, 404]) {
    const path = pathOf(`${status} Status;Content-Length: 1234;ETag: "a";;`);
    const answer = await scenario.anybody.send({ method: 'HEAD', path });
    t.match(answer, { status, headers: { 'content-length': '1234', etag: '"a"' }, text: '' });
    t.match(await scenario.recordOf(answer), { status, outcome: 'completed' });
  }
});

t.test('204 and 205 without content pass, a length of 0 included', async (t) => {
  for (const head of [
    '204 No Content;;',
    '204 No Content;Content-Length: 0;;',
    '205 Reset Content;Content-Length: 0;;',
  ]) {
    for (const { status, headers, outcome } of await answersTo(head)) {
      t.match({ status, outcome }, { status: Number(head.slice(0, 3)), outcome: 'completed' }, head);
      if (status === 204) t.notOk('content-length' in headers, head);
    }
  }
  for (const { text, outcome } of await answersTo('205 Reset Content;Transfer-Encoding: chunked;;5;hello;0;;')) {
    t.equal(outcome, 'completed');
    t.notMatch(text, /hello/, 'a 205 has no content (RFC 9110 §15.3.6)');
  }
});

t.test('204 with Content-Length, and what else is malformed, is 502 with a code and a record', async (t) => {
  const heads = [
    '204 No Content;Content-Length: 5;;',
    '204 No Content;content-length: 5;;hello',
    '204 No Content;Transfer-Encoding: chunked;;0;;',
    '205 Reset Content;Content-Length: 5;;hello',
    '103 Early Hints;Content-Length: 5;;200 OK;Content-Length: 2;;ok',
    '102 Processing;Transfer-Encoding: chunked;;',
    '100 Continue;;HTTP/1.1 200 OK;Content-Length: 2;;ok',
    '101 Switching Protocols;Content-Length: 0;;',
    '304 Not Modified;Content-Length: 5;Content-Length: 5;;',
    '304 Not Modified;Content-Length: -1;;',
  ];
  for (const head of heads) {
    for (const { status, json, outcome, reason } of await answersTo(head)) {
      const code = (json as { code?: string }).code ?? (json as { error: { data: { code: string } } }).error.data.code;
      t.match(
        { status, code, outcome, reason },
        { status: 502, code: 'bad_upstream', outcome: 'failed', reason: 'bad_upstream' },
        head,
      );
    }
  }
});

t.test('an interim response passes over, and the answer behind it comes', async (t) => {
  for (const { status, text, body } of await answersTo(
    '103 Early Hints;Link: </x>;;HTTP/1.1 200 OK;Content-Length: 2;;ok',
  )) {
    t.match({ status, body }, { status: 200, body: 'ok' });
    t.notMatch(text, /Early Hints/);
  }
});
