// Limits of an upstream: concurrency and streams, sizes of answers, and refusal of the gateway’s own credential.
import type { ServerResponse } from 'node:http';
import t, { type Test } from 'tap';
import { toolCall } from '../support/client.ts';
import type { Configuration } from '../support/configuration.ts';
import { type Caller, startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';
import type { Reply } from '../support/upstream.ts';

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
/** A gateway with these limits of its upstream, whose answers wait in `waiting` unless `reply` gives them. */
async function begin(t: Test, limits: Configuration = {}, reply?: Reply, firstByte = '2s') {
  const waiting: ServerResponse[] = [];
  const scenario = await startScenario(
    t,
    { upstreams: { superset: { timeouts: { firstByte }, limits } } },
    { reply: reply ?? ((_request, response) => void waiting.push(response)), logToFile: true },
  );
  return {
    ...scenario,
    /** Requests that the upstream has not answered. */
    waiting,
    /** A client of this name. */
    named: (name: string) => scenario.as({ claims: { client_id: name, sub: name }, connections: 64 }),
    reloadWith: (changed: Configuration) => scenario.reload({ upstreams: { superset: { limits: changed } } }),
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
    const scenario = await begin(t, { concurrency: 3, concurrencyPerClient: 2 });
    const { upstream, waiting, anybody, named } = scenario;
    const [one, two, three] = await Promise.all(['one', 'two', 'three'].map(named));
    const calls = [one!.post(call), one!.post(call)];
    await upstream.received(2);
    const refused = await one!.post(call);
    t.match(refused, overloaded);
    t.match(JSON.parse(refused.text), { id: 1, error: { code: 503, data: { code: 'overloaded' } } });
    calls.push(two!.post(call));
    await upstream.received(3);
    t.match(await three!.post(call), overloaded);
    t.match(await anybody.send({ path: '/open/x' }), { status: 503, headers: { 'retry-after': '1' } });
    t.equal(upstream.requests.length, 3, 'the upstream heard of none of them');
    t.match(await scenario.recordsOf(refused), [
      {
        stage: 'completed',
        decision: 'deny',
        reason: 'overloaded',
        detail: { limit: 'concurrency_per_client' },
        status: 503,
        outcome: 'refused',
        upstream: undefined,
      },
    ]);
    const labels = { route: '/mcp', outcome: 'refused', status: '503' };
    t.equal(await scenario.metric('portcullis_requests_total', labels), 2);
    const log = await scenario.log();
    t.match(log, /"reason":"concurrency_per_client"/);
    t.match(log, /"reason":"concurrency"/);
    answerAll(waiting);
    t.match(await Promise.all(calls), [{ status: 200 }, { status: 200 }, { status: 200 }]);
    const next = one!.post(call);
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
    const limits = { concurrency: 2, concurrencyPerClient: 2, streamsPerClient: 2 };
    const { upstream, named } = await begin(t, limits, stream);
    const [one, two] = [await named('one'), await named('two')];
    const get = await one.hold();
    const listening = await one.hold({ message: listen, headers: listenHeaders });
    t.match([get, listening], [{ response: { statusCode: 200 } }, { response: { statusCode: 200 } }]);
    t.match(await one.send({ path: '/mcp' }), { status: 503, headers: { 'retry-after': '1' } });
    t.match(await one.post(listen, { headers: listenHeaders }), overloaded);
    const calls = [await one.hold({ message: call }), await one.hold({ message: call })];
    t.match(
      calls,
      [{ response: { statusCode: 200 } }, { response: { statusCode: 200 } }],
      'both places for calls are free',
    );
    t.match(await two.post(call), overloaded);
    t.equal(upstream.requests.length, 4);
    get.leave();
    t.match(await retried(() => one.hold()), { response: { statusCode: 200 } });
  },
);

t.test('a GET on a path route becomes a stream when it is answered by one', async (t) => {
  const { upstream, waiting, named } = await begin(t, { concurrency: 1, streamsPerClient: 1 });
  const one = await named('one');
  const first = one.hold({ path: '/api/events' });
  await upstream.received(1);
  t.match(await one.hold({ path: '/api/x' }), { response: { statusCode: 503 } }, 'a request until then');
  waiting[0]!.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
  t.match(await first, { response: { statusCode: 200 } });
  const second = one.hold({ path: '/api/events' });
  await upstream.received(2);
  waiting[1]!.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
  await second;
  t.match(await one.hold({ path: '/api/x' }), { response: { statusCode: 503 } }, 'and one too many stays a request');
});

t.test('a reload changes the limits and keeps the count, as long as it keeps the connections', async (t) => {
  const { upstream, waiting, named, reloadWith } = await begin(t, { concurrency: 2 });
  const one = await named('one');
  const calls = [one.post(call)];
  await upstream.received(1);
  await reloadWith({ concurrency: 1 });
  t.match(await one.post(call), overloaded, 'the call from before counts');
  await reloadWith({ concurrency: 5 });
  calls.push(one.post(call));
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
  const limits = { concurrency: 6, concurrencyPerClient: 4, streamsPerClient: 3, responseBytes: '2KiB' };
  const scenario = await begin(t, limits, storm, '500ms');
  const { upstream, named } = scenario;
  const callers = await Promise.all(['one', 'two', 'three'].map(named));
  let state = 7;
  const random = (below: number) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
  const attempt = async (): Promise<void> => {
    const caller = callers[random(3)]!;
    const traceparent = String(random(7));
    const message = [call, undefined, call, listen][random(4)];
    const asking = caller.hold({
      headers: { traceparent, ...(message === listen && listenHeaders) },
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
  await until(async () => (await scenario.status()).openRequests === 0);
  const before = upstream.requests.length;
  const [one, two, three] = callers as [Caller, Caller, Caller];
  const all = [one, one, one, one, two, two];
  await until(async () => {
    const streams = await Promise.all(
      all.map((caller) => caller.hold({ headers: { traceparent: '4' }, message: call })),
    );
    const full = streams.every(({ response }) => response.statusCode === 200);
    if (!full) for (const stream of streams) stream.leave();
    return full;
  }, 'all six places are free, four of them for one client');
  t.ok(upstream.requests.length >= before + 6);
  t.match(await three.post(call), overloaded, 'and not one more');
  t.notOk((await scenario.records()).some(({ status }) => status === 500));
});

t.test('an answer that is too large is 502 where its length says so, and cut where it does not', async (t) => {
  const seen = Promise.withResolvers<void>();
  const scenario = await begin(t, { responseBytes: '1KiB' }, async (request, response) => {
    const announced = request.url === '/api/announced';
    response.writeHead(200, { 'content-type': 'application/json', ...(announced && { 'content-length': 2000 }) });
    response.write('x'.repeat(900));
    if (!announced) await seen.promise;
    response.end('y'.repeat(1100));
  });
  const one = await scenario.named('one');
  const announced = await one.send({ path: '/api/announced' });
  t.match(announced, { status: 502 });
  t.equal(JSON.parse(announced.text).code, 'bad_upstream');
  t.match(await scenario.recordOf(announced), { outcome: 'failed', status: 502, reason: 'bad_upstream' });
  const cut = await one.hold({ path: '/api/chunks' });
  await cut.saw('x'.repeat(900));
  seen.resolve();
  t.equal(await cut.ended(), 'cut');
  t.equal(cut.text(), 'x'.repeat(900));
  t.match(await scenario.recordOf(cut), { outcome: 'failed', status: 200 });
  const log = await scenario.log();
  t.equal(log.match(/"reason":"too_large"/g)?.length, 2);
});

t.test('a credential of the gateway that the upstream refuses is 502, and the log says where to look', async (t) => {
  for (const status of [401, 407]) {
    const scenario = await begin(t, {}, (_request, response) => {
      response.writeHead(status, { 'www-authenticate': 'Bearer realm="inner"' }).end('secret text');
    });
    const answer = await scenario.agent.post(call);
    t.match(answer, { status: 502 });
    t.notMatch(answer.text + JSON.stringify(answer.headers), /inner|secret|authorization/i);
    const line = (await scenario.log()).split('\n').find((each) => each.includes(answer.id));
    t.match(JSON.parse(line ?? '{}'), {
      code: 'bad_upstream',
      reason: 'credential',
      err: {
        message: new RegExp(`answered ${status}.*check authorization or identity\\.assertion of upstreams\\.superset`),
      },
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
