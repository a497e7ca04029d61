// Path routes through the proxy: bodies are streamed behind the record of the decision, and nothing of the proxy's own habits shows.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse, request as sendRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { host } from '../support/attack.ts';
import { rawConnection, rawRequest, talk } from '../support/raw-http.ts';
import { type Scenario, startScenario } from '../support/scenario.ts';
import { startRawUpstream, type TestUpstream } from '../support/upstream.ts';

/** An upstream that hands over each request as soon as its head is there. */
async function startStreamingUpstream(t: Test) {
  const waiting: { request: IncomingMessage; response: ServerResponse }[] = [];
  let wake = (): void => {};
  const server = createServer((request, response) => {
    waiting.push({ request, response });
    wake();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async next() {
      while (waiting.length === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      return waiting.shift()!;
    },
  };
}

function upload(scenario: Scenario<{ readonly url: string }>, headers: Record<string, string> = {}) {
  const request = sendRequest({
    port: scenario.port,
    method: 'POST',
    path: '/api/files?name=a%20b',
    headers: { host: 'mcp.example.com', ...scenario.agent.headers, ...headers },
  });
  request.on('error', () => {});
  return request;
}

const textOf = async (stream: AsyncIterable<Buffer>): Promise<string> => {
  let text = '';
  for await (const chunk of stream) text += chunk;
  return text;
};

t.test('a body is streamed: the upstream reads its begin before the client has sent its end', async (t) => {
  const upstream = await startStreamingUpstream(t);
  const scenario = await startScenario(t, {}, { upstream });
  const sending = upload(scenario);
  sending.write('first ');
  const { request, response } = await upstream.next();
  t.equal(request.url, '/api/files?name=a%20b', 'the target is the one that was judged, byte for byte');
  t.equal(request.headers['transfer-encoding'], 'chunked');
  t.equal(String((await once(request, 'data'))[0]), 'first ');
  const { stage } = await scenario.record(({ stage }) => stage === 'decided');
  t.equal(stage, 'decided', 'the record was there before the first byte went');
  sending.end('last');
  t.equal(String((await once(request, 'data'))[0]), 'last');
  response.end('taken');
  const [answer] = (await once(sending, 'response')) as [IncomingMessage];
  t.equal(await textOf(answer), 'taken');
});

t.test('an announced length is told to the upstream before the body has come', async (t) => {
  const upstream = await startStreamingUpstream(t);
  const scenario = await startScenario(t, {}, { upstream });
  const sending = upload(scenario, { 'content-length': '10' });
  sending.write('first');
  const { request, response } = await upstream.next();
  t.equal(request.headers['content-length'], '10');
  t.equal(request.headers['transfer-encoding'], undefined);
  sending.end(' last');
  t.equal(await textOf(request), 'first last');
  response.end('taken');
  const [answer] = (await once(sending, 'response')) as [IncomingMessage];
  t.equal(await textOf(answer), 'taken');
});

t.test('timeouts.firstByte counts neither the time of the client nor that of its last byte', async (t) => {
  const upstream = await startStreamingUpstream(t);
  const scenario = await startScenario(
    t,
    {
      server: { limits: { receiveTimeout: '60s' } },
      upstreams: { superset: { timeouts: { firstByte: '1s' } } },
    },
    { upstream },
  );
  const sending = upload(scenario);
  sending.write('first');
  const { request, response } = await upstream.next();
  await delay(1200);
  sending.end(' last');
  t.equal(await textOf(request), 'first last');
  response.end('taken');
  const [answer] = (await once(sending, 'response')) as [IncomingMessage];
  t.match(answer, { statusCode: 200 });
  answer.resume();

  await scenario.reload({
    server: { limits: { receiveTimeout: '500ms' } },
    upstreams: { superset: { timeouts: { firstByte: '100ms' } } },
  });
  const stopping = upload(scenario);
  stopping.write('first');
  (await upstream.next()).request.resume().on('error', () => {});
  const [late] = (await once(stopping, 'response')) as [IncomingMessage];
  t.match(late, { statusCode: 408, headers: { connection: 'close' } }, 'it is the client that is late');
  const id = String(late.headers['x-request-id']);
  t.match(await scenario.recordOf({ id }), { outcome: 'failed', reason: 'request_timeout' });

  const waiting = upload(scenario);
  waiting.end('all');
  (await upstream.next()).request.resume();
  t.match(await once(waiting, 'response'), [{ statusCode: 504 }], 'it is the upstream that is late');
});

t.test('a 304 with a length passes, and its connection serves on; a 204 with one is 502', async (t) => {
  const upstream = await startRawUpstream((socket, { url }) => {
    const status = url.split('/').at(-1);
    socket.end(
      `HTTP/1.1 ${status} Answer\r\nContent-Length: ${status === '200' ? 2 : 5}\r\n\r\n${status === '200' ? 'ok' : ''}`,
    );
  });
  t.teardown(upstream.close);
  const scenario = await startScenario<TestUpstream>(t, {}, { upstream });
  const get = (status: number) =>
    rawRequest([`GET /api/${status} HTTP/1.1`, host, `Authorization: ${scenario.agent.headers.authorization}`]);
  const { answers } = await talk(scenario.port, get(304) + get(204) + get(200), 3);
  t.match(answers, [{ status: 304, headers: { 'content-length': '5' } }, { status: 502 }, { status: 200, body: 'ok' }]);
  const outcomes = (await scenario.matchingRecords(3, ({ stage }) => stage === 'completed')).map(
    (each) => each.outcome,
  );
  t.strictSame(outcomes.sort(), ['completed', 'completed', 'failed']);
});

t.test('an announced length stays, and a body of JSON arrives as the bytes that were sent', async (t) => {
  const { agent, upstream } = await startScenario(t);
  const body = '{ "a" : 1,\n"b": [ ] }';
  const headers = { 'content-type': 'application/json' };
  await agent.send({ method: 'PUT', path: '/api/x', body, headers });
  await agent.send({ method: 'DELETE', path: '/api/x', body, headers });
  for (const request of upstream.requests) {
    t.equal(String(request.body), body);
    t.strictSame(request.header('content-length'), [String(body.length)]);
    t.strictSame(request.header('content-type'), ['application/json']);
  }
});

t.test(
  'a body beyond bodyBytes of its route is cut off while it flows: 413, and never whole at the upstream',
  async (t) => {
    const upstream = await startStreamingUpstream(t);
    const scenario = await startScenario(t, { routes: { '/api/*': { bodyBytes: '1KiB' } } }, { upstream });
    const sending = upload(scenario);
    sending.write('x'.repeat(1024));
    const { request } = await upstream.next();
    const broken = once(request, 'error');
    request.resume();
    sending.write('x');
    const [answer] = (await once(sending, 'response')) as [IncomingMessage];
    t.match(answer, { statusCode: 413, headers: { connection: 'close' } });
    t.match(JSON.parse(await textOf(answer)), { code: 'body_too_large' });
    await broken;
    const id = String(answer.headers['x-request-id']);
    const failed = { decision: 'allow', outcome: 'failed', reason: 'body_too_large', status: 413 };
    t.match(await scenario.recordOf({ id }), failed);
    t.match(await scenario.metrics(), /requests_total\{route="\/api\/\*",outcome="failed",status="413"\} 1/);
  },
);

t.test('a length beyond it is refused before anything is decided or forwarded', async (t) => {
  const scenario = await startScenario(t, { routes: { '/api/*': { bodyBytes: '1KiB' } } });
  const { agent, upstream } = scenario;
  const answer = await agent.send({ method: 'POST', path: '/api/x', body: 'x'.repeat(1025) });
  t.equal(answer.status, 413);
  t.match(await scenario.recordsOf(answer), [{ stage: 'completed', outcome: 'refused', reason: 'body_too_large' }]);
  t.equal(upstream.requests.length, 0);
});

t.test(
  'a client that leaves in the middle of its upload ends the request of the upstream, with a record and a count',
  async (t) => {
    const upstream = await startStreamingUpstream(t);
    const scenario = await startScenario(t, {}, { upstream });
    const sending = upload(scenario, { 'content-length': '1000000' });
    sending.write('first');
    const { request } = await upstream.next();
    request.resume();
    const broken = once(request, 'error');
    sending.destroy();
    await broken;
    t.match(await scenario.record(({ stage }) => stage === 'completed'), { decision: 'allow', outcome: 'aborted' });
    t.match(await scenario.metrics(), /requests_total\{route="\/api\/\*",outcome="aborted",status="(none|400)"\} 1/);
  },
);

t.test('a client that leaves before the answer has a head ends the request of the upstream', async (t) => {
  const upstream = await startStreamingUpstream(t);
  const scenario = await startScenario(t, {}, { upstream });
  const sending = upload(scenario);
  sending.end('all');
  const { request, response } = await upstream.next();
  t.equal(await textOf(request), 'all');
  sending.destroy();
  await once(response, 'close');
  t.match(await scenario.record(({ stage }) => stage === 'completed'), { outcome: 'aborted' });
});

t.test(
  'the place for the interim answer is behind the decision: nobody is asked for a body that is not wanted',
  async (t) => {
    const scenario = await startScenario(t);
    const head = (credential: string) =>
      `POST /api/x HTTP/1.1\r\nHost: mcp.example.com\r\n${credential}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n`;
    const allowed = await rawConnection(scenario.port);
    allowed.write(head(`Authorization: ${scenario.agent.headers.authorization}\r\n`));
    t.match(await allowed.interim(), { answers: [{ status: 100 }] });
    t.match(await scenario.record(({ stage }) => stage === 'decided'), { decision: 'allow' });
    allowed.write('{}');
    t.match(await allowed.answers(), { answers: [{ status: 100 }, { status: 200 }] });
    allowed.end();
    const refused = await rawConnection(scenario.port);
    refused.write(head(''));
    t.match(await refused.answers(), { answers: [{ status: 401 }] });
    refused.end();
  },
);

t.test('an answer of 503 is asked for once, whatever the method', async (t) => {
  const { agent, upstream } = await startScenario(
    t,
    {},
    {
      reply: (_request, response) => {
        response.writeHead(503, { 'retry-after': '0' });
        response.end('busy');
      },
    },
  );
  for (const method of ['GET', 'OPTIONS', 'PUT']) {
    const answer = await agent.send({ method, path: '/api/x' });
    t.match(answer, { status: 503, text: 'busy', headers: { 'retry-after': '0' } }, method);
  }
  t.equal(upstream.requests.length, 3);
});

t.test('names that begin with dots, and a Location of the upstream, pass as they are', async (t) => {
  const { agent, upstream } = await startScenario(
    t,
    {},
    {
      reply: (_request, response) => {
        response.writeHead(302, { location: '/api/elsewhere', 'X-Odd-Case': 'a', __proto__x: 'b' });
        response.end();
      },
    },
  );
  for (const path of ['/api/..hidden', '/api/.well', '/api/a...b', '/api/...']) {
    const answer = await agent.send({ path });
    t.match(answer, { status: 302, headers: { location: '/api/elsewhere', 'x-odd-case': 'a' } }, path);
    t.equal(upstream.requests.at(-1)!.url, path);
  }
});
