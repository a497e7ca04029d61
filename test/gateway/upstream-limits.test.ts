// What the gateway keeps from an upstream and from its callers: more at once than it may bear, answers that are too large, and a refused credential.
import { readFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { sceneYaml } from '../support/attack.ts';
import { createClient, type TestClient, toolCall } from '../support/client.ts';
import { type HeldStream, holdStream } from '../support/event-stream.ts';
import { startTestGateway } from '../support/gateway.ts';
import { createFakeIssuer } from '../support/issuer.ts';
import { until } from '../support/until.ts';
import { type Reply, startUpstream } from '../support/upstream.ts';

const issuer = await createFakeIssuer();
t.teardown(() => issuer.close());

const call = toolCall('list_dashboards');
const listen = {
  jsonrpc: '2.0',
  id: 1,
  method: 'subscriptions/listen',
  params: {
    notifications: { toolsListChanged: true },
    _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' },
  },
};
const listenHeaders = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'subscriptions/listen' };
const token = async (client: string) => ({
  authorization: `Bearer ${await issuer.token({ client_id: client, sub: client })}`,
});

async function sceneOf(t: Test, limits: string, reply?: Reply) {
  const waiting: ServerResponse[] = [];
  const upstream = await startUpstream({ reply: reply ?? ((_request, response) => void waiting.push(response)) });
  const yaml = (given: string) =>
    sceneYaml(upstream.url, issuer.issuer, { upstreamOptions: `, timeouts: {firstByte: 2s}, limits: {${given}}` });
  const gateway = await startTestGateway({ yaml: yaml(limits), logToFile: true });
  const clients: TestClient[] = [];
  const held: HeldStream[] = [];
  t.teardown(async () => {
    for (const client of clients) client.close();
    for (const stream of held) stream.leave();
    await gateway.close();
    await upstream.close();
  });
  const client = (): TestClient => {
    const created = createClient({ port: gateway.port, connections: 64 });
    clients.push(created);
    return created;
  };
  return {
    gateway,
    upstream,
    /** Requests that the upstream has not answered. */
    waiting,
    client: client(),
    reload: (given: string) => gateway.reload(yaml(given)),
    async hold(headers: Readonly<Record<string, string>>, more: { message?: unknown; path?: string } = {}) {
      const stream = await holdStream({ port: gateway.port, headers, ...more });
      held.push(stream);
      return stream;
    },
  };
}

function answerAll(waiting: ServerResponse[]): void {
  for (const response of waiting.splice(0)) response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
}

const overloaded = {
  status: 503,
  headers: { 'retry-after': '1', 'cache-control': 'no-store', 'content-type': 'application/json' },
};

t.test(
  'beyond the limit of one client, and of all together, a call is 503 at once and the upstream hears nothing',
  async (t) => {
    const { gateway, upstream, waiting, client } = await sceneOf(t, 'concurrency: 3, concurrencyPerClient: 2');
    const [one, two, three] = await Promise.all(['one', 'two', 'three'].map(token));
    const calls = [client.post(call, { headers: one! }), client.post(call, { headers: one! })];
    await upstream.received(2);
    const refused = await client.post(call, { headers: one! });
    t.match(refused, overloaded);
    t.match(JSON.parse(refused.text), { id: 1, error: { code: 503, data: { code: 'overloaded' } } });
    calls.push(client.post(call, { headers: two! }));
    await upstream.received(3);
    t.match(await client.post(call, { headers: three! }), overloaded);
    t.match(await client.send({ path: '/open/x' }), { status: 503, headers: { 'retry-after': '1' } });
    t.equal(upstream.requests.length, 3, 'the upstream heard of none of them');
    const records = (await gateway.records()).filter(({ id }) => id === refused.id);
    t.match(records, [
      {
        stage: 'completed',
        decision: 'deny',
        reason: 'overloaded',
        status: 503,
        outcome: 'refused',
        upstream: undefined,
      },
    ]);
    t.match(await gateway.metrics(), /portcullis_requests_total\{route="\/mcp",outcome="refused",status="503"\} 2/);
    const log = await readFile(join(gateway.directory, 'gateway.log'), 'utf8');
    t.match(log, /"reason":"concurrency_per_client"/);
    t.match(log, /"reason":"concurrency"/);
    answerAll(waiting);
    t.match(await Promise.all(calls), [{ status: 200 }, { status: 200 }, { status: 200 }]);
    const next = client.post(call, { headers: one! });
    await upstream.received(4);
    answerAll(waiting);
    t.match(await next, { status: 200 }, 'a place that is free again');
  },
);

t.test(
  'streams are counted apart: a GET and a subscription are streams, a call that is answered by one is not',
  async (t) => {
    const stream: Reply = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(': here\n\n');
    };
    const { upstream, client, hold } = await sceneOf(
      t,
      'concurrency: 2, concurrencyPerClient: 2, streamsPerClient: 2',
      stream,
    );
    const one = await token('one');
    const get = await hold(one);
    const listening = await hold({ ...one, ...listenHeaders }, { message: listen });
    t.match([get, listening], [{ response: { statusCode: 200 } }, { response: { statusCode: 200 } }]);
    t.match(await client.send({ path: '/mcp', headers: one }), { status: 503, headers: { 'retry-after': '1' } });
    t.match(await client.post(listen, { headers: { ...one, ...listenHeaders } }), overloaded);
    const calls = [await hold(one, { message: call }), await hold(one, { message: call })];
    t.match(
      calls,
      [{ response: { statusCode: 200 } }, { response: { statusCode: 200 } }],
      'both places for calls are free',
    );
    t.match(await client.post(call, { headers: await token('two') }), overloaded);
    t.equal(upstream.requests.length, 4);
    get.leave();
    t.match(await retried(() => hold(one)), { response: { statusCode: 200 } });
  },
);

t.test('a GET on a path route becomes a stream when it is answered by one', async (t) => {
  const { upstream, waiting, hold } = await sceneOf(t, 'concurrency: 1, streamsPerClient: 1');
  const one = await token('one');
  const first = hold(one, { path: '/api/events' });
  await upstream.received(1);
  t.match(await hold(one, { path: '/api/x' }), { response: { statusCode: 503 } }, 'a request until then');
  waiting[0]!.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
  t.match(await first, { response: { statusCode: 200 } });
  const second = hold(one, { path: '/api/events' });
  await upstream.received(2);
  waiting[1]!.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
  await second;
  t.match(await hold(one, { path: '/api/x' }), { response: { statusCode: 503 } }, 'and one too many stays a request');
});

t.test('a call whose client left keeps its place until its answer has been read', async (t) => {
  const { gateway, upstream, waiting, client, hold } = await sceneOf(t, 'concurrencyPerClient: 1');
  const one = await token('one');
  const leaving = holdStream({ port: gateway.port, headers: one, message: call });
  leaving.catch(() => {});
  await upstream.received(1);
  waiting[0]!.writeHead(200, { 'content-type': 'text/event-stream' });
  waiting[0]!.write('data: 1\n\n');
  (await leaving).leave();
  await gateway.record(({ outcome }) => outcome === 'aborted');
  t.match(await client.post(call, { headers: one }), overloaded);
  t.match(await hold(one, { path: '/api/x' }), { response: { statusCode: 503 } });
  waiting.shift()!.end();
  const next = retried(async () => {
    const answer = hold(one, { message: call });
    answer.catch(() => {});
    const arrived = upstream.received(2).then(() => answerAll(waiting));
    await Promise.race([answer, arrived]);
    return answer;
  });
  t.match(await next, { response: { statusCode: 200 } });
});

t.test('a reload changes the limits and keeps the count, as long as it keeps the connections', async (t) => {
  const { upstream, waiting, client, reload } = await sceneOf(t, 'concurrency: 2');
  const one = await token('one');
  const calls = [client.post(call, { headers: one })];
  await upstream.received(1);
  await reload('concurrency: 1');
  t.match(await client.post(call, { headers: one }), overloaded, 'the call from before counts');
  await reload('concurrency: 5');
  calls.push(client.post(call, { headers: one }));
  await upstream.received(2);
  answerAll(waiting);
  t.match(await Promise.all(calls), [{ status: 200 }, { status: 200 }]);
});

t.test('whatever becomes of them, places are given back: after a storm all of them are free', async (t) => {
  const storm: Reply = (request, response) => {
    const fate = Number(request.header('traceparent')[0] ?? 0);
    if (fate === 1) return void response.destroy();
    if (fate === 2) return void response.writeHead(401).end();
    if (fate === 3) return;
    response.writeHead(200, { 'content-type': fate === 4 ? 'text/event-stream' : 'application/json' });
    if (fate === 5) return void response.write('{', () => response.destroy());
    if (fate === 6) return void response.end('x'.repeat(3000));
    if (fate === 4) response.write('data: 1\n\n');
    else response.end('{}');
  };
  const limits = 'concurrency: 6, concurrencyPerClient: 4, streamsPerClient: 3, responseBytes: 2KiB';
  const { gateway, upstream, client, hold } = await sceneOf(t, limits, storm);
  const callers = await Promise.all(['one', 'two', 'three'].map(token));
  let state = 7;
  const random = (below: number) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
  const attempt = async (): Promise<void> => {
    const headers = { ...callers[random(3)]!, traceparent: String(random(7)) };
    const message = [call, undefined, call, { ...listen }][random(4)];
    const more = message === listen ? listenHeaders : {};
    const asking = holdStream({
      port: gateway.port,
      headers: { ...headers, ...more },
      ...(message !== undefined && { message }),
      ...(random(3) === 0 && { path: '/api/x' }),
    });
    const settled = asking.catch(() => undefined);
    const stream = await Promise.race([settled, pause(random(60))]);
    if (random(2) === 0) await pause(random(20));
    (stream ?? (await settled))?.leave();
  };
  for (let round = 0; round < 6; round++) await Promise.all(Array.from({ length: 20 }, attempt));
  // What the upstream never answers ends by firstByte; then nothing is under way any more.
  await until(async () => (await gateway.status()).openRequests === 0);
  const before = upstream.requests.length;
  const all = callers
    .slice(0, 2)
    .flatMap((headers, index) => Array.from({ length: index === 0 ? 4 : 2 }, () => headers));
  await until(async () => {
    const streams = await Promise.all(all.map((headers) => hold({ ...headers, traceparent: '4' }, { message: call })));
    const full = streams.every(({ response }) => response.statusCode === 200);
    if (!full) for (const stream of streams) stream.leave();
    return full;
  }, 'all six places are free, four of them for one client');
  t.ok(upstream.requests.length >= before + 6);
  t.match(await client.post(call, { headers: callers[2]! }), overloaded, 'and not one more');
  t.notOk((await gateway.records()).some(({ status }) => status === 500));
});

t.test('an answer that is too large is 502 where its length says so, and cut where it does not', async (t) => {
  const seen = Promise.withResolvers<void>();
  const { gateway, client, hold } = await sceneOf(t, 'responseBytes: 1KiB', async (request, response) => {
    const announced = request.url === '/api/announced';
    response.writeHead(200, { 'content-type': 'application/json', ...(announced && { 'content-length': 2000 }) });
    response.write('x'.repeat(900));
    if (!announced) await seen.promise;
    response.end('y'.repeat(1100));
  });
  const one = await token('one');
  const announced = await client.send({ path: '/api/announced', headers: one });
  t.match(announced, { status: 502 });
  t.equal(JSON.parse(announced.text).code, 'bad_upstream');
  t.match(await gateway.record(({ id, stage }) => id === announced.id && stage === 'completed'), {
    outcome: 'failed',
    status: 502,
    reason: 'bad_upstream',
  });
  const cut = await hold(one, { path: '/api/chunks' });
  await cut.saw('x'.repeat(900));
  seen.resolve();
  t.equal(await cut.ended(), 'cut');
  t.equal(cut.text(), 'x'.repeat(900));
  const id = String(cut.response.headers['x-request-id']);
  t.match(await gateway.record((record) => record.id === id && record.stage === 'completed'), {
    outcome: 'failed',
    status: 200,
  });
  const log = await readFile(join(gateway.directory, 'gateway.log'), 'utf8');
  t.equal(log.match(/"reason":"too_large"/g)?.length, 2);
});

t.test('a credential of the gateway that the upstream refuses is 502, and the log says where to look', async (t) => {
  for (const status of [401, 407]) {
    const { gateway, client } = await sceneOf(t, '', (_request, response) => {
      response.writeHead(status, { 'www-authenticate': 'Bearer realm="inner"' }).end('secret text');
    });
    const answer = await client.post(call, { headers: await token('one') });
    t.match(answer, { status: 502 });
    t.notMatch(answer.text + JSON.stringify(answer.headers), /inner|secret|authorization/i);
    const log = await readFile(join(gateway.directory, 'gateway.log'), 'utf8');
    const line = log.split('\n').find((each) => each.includes(answer.id));
    t.match(JSON.parse(line ?? '{}'), {
      code: 'bad_upstream',
      reason: 'credential',
      err: { message: new RegExp(`answered ${status}.*check authorization or identity\\.assertion of upstreams\\.up`) },
    });
  }
});

async function pause(ms: number): Promise<undefined> {
  await new Promise((resolve) => setTimeout(resolve, ms));
  return undefined;
}

/** Tries until it is not refused for load: a place is given back a moment after its client knows. */
async function retried<T extends { response: { statusCode?: number | undefined } }>(
  attempt: () => Promise<T>,
): Promise<T> {
  let result = await attempt();
  await until(async () => {
    if (result.response.statusCode === 503) result = await attempt();
    return result.response.statusCode !== 503;
  }, 'a place is given back');
  return result;
}
