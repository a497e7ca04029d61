// Probes of upstreams: one that lets in callers without a credential keeps the gateway from being ready.
import t, { type Test } from 'tap';
import { type Configuration, overlay } from '../support/configuration.ts';
import { type Scenario, type Surroundings, startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';
import { closedPort, type Reply, startUpstream } from '../support/upstream.ts';

const refuse: Reply = (_request, response) => {
  response.writeHead(401, { 'content-type': 'application/json' }).end('{"error":"invalid_token"}');
};
const letIn: Reply = (_request, response) => {
  response.writeHead(200, { 'content-type': 'application/json' }).end('{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}');
};
/** A gateway whose upstream is probed every 50 ms; `superset` is laid over that. */
const begin = (t: Test, surroundings: Surroundings, superset: Configuration = {}) => {
  const probed = overlay({ probe: { path: '/mcp', every: '50ms' } }, superset) as Configuration;
  return startScenario(t, { upstreams: { superset: probed } }, surroundings);
};

type Readiness = Pick<Scenario, 'readiness'>;
const isReady = ({ readiness }: Readiness) => until(async () => (await readiness()).status === 200);
const saysWhy = ({ readiness }: Readiness, why: string) => until(async () => (await readiness()).text.includes(why));

t.test(
  'an upstream that refuses makes the gateway ready, and is asked without any credential or identity',
  async (t) => {
    const upstream = await startUpstream({ reply: refuse });
    t.teardown(() => upstream.close());
    const scenario = await begin(t, { upstream }, { url: `${upstream.url}/base` });
    await isReady(scenario);
    const [asked] = upstream.requests;
    t.equal(asked?.method, 'POST');
    t.equal(asked?.url, '/base/mcp');
    t.match(JSON.parse(String(asked?.body)), { jsonrpc: '2.0', method: 'tools/list' });
    t.same(
      asked?.rawHeaders
        .filter((_, index) => index % 2 === 0)
        .map((name) => name.toLowerCase())
        .sort(),
      ['accept', 'connection', 'content-length', 'content-type', 'host', 'user-agent'],
    );
    const { detail } = await scenario.record(
      ({ stage, detail }) => stage === 'config' && detail?.event === 'upstream probed',
    );
    t.same(detail, { event: 'upstream probed', upstream: 'superset', found: 'refused', status: 401 });
    t.match(await scenario.metrics(), /^portcullis_upstream_probe_success\{upstream="superset"\} 1$/m);
  },
);

t.test(
  'an upstream that lets anybody in keeps the gateway from being ready, and the reason says what to do',
  async (t) => {
    const scenario = await begin(t, { reply: letIn });
    await saysWhy(scenario, 'answers callers without a credential (status 200 instead of 401 or 403)');
    t.match(await scenario.readiness(), { status: 503, text: /upstream superset: .*make it verify the assertion/ });
    await scenario.record(
      ({ stage, detail }) => stage === 'config' && detail?.found === 'answered' && detail?.status === 200,
    );
    t.match(await scenario.metrics(), /^portcullis_upstream_probe_success\{upstream="superset"\} 0$/m);
  },
);

t.test('one that begins to let anybody in is found out, and one that refuses again is taken back', async (t) => {
  let reply = refuse;
  const scenario = await begin(t, { reply: (request, response) => reply(request, response) });
  await isReady(scenario);
  reply = letIn;
  await saysWhy(scenario, 'status 200');
  reply = refuse;
  await isReady(scenario);
  const probed = await scenario.matchingRecords(3, ({ detail }) => detail?.event === 'upstream probed');
  t.same(
    probed.map(({ detail }) => detail?.found),
    ['refused', 'answered', 'refused'],
    'a record for each change, none for each probe',
  );
});

t.test('what answers 404 or 405 has not refused: the path may be wrong', async (t) => {
  const reply: Reply = (_request, response) => void response.writeHead(404).end();
  const scenario = await begin(t, { reply }, { probe: { path: '/health' } });
  await saysWhy(scenario, 'status 404');
  t.equal(scenario.upstream.requests[0]?.method, 'GET', 'only the path of an MCP route is asked for tools');
});

for (const [fault, reply, reason] of [
  ['says nothing', () => {}, 'no answer within 40 ms'],
  ['fails', (_request, response) => void response.writeHead(500).end(), 'status 500'],
  ['closes the connection', (_request, response) => void response.destroy(), 'other side closed'],
] as const satisfies [string, Reply, string][]) {
  t.test(`one that ${fault} is not known to refuse: not ready, without hanging`, async (t) => {
    const scenario = await begin(t, { reply }, { probe: { timeout: '40ms' } });
    await saysWhy(scenario, `not known yet whether it refuses callers without a credential (${reason})`);
    t.equal((await scenario.readiness()).status, 503);
  });
}

t.test(
  'one that is down at first makes the gateway ready when it comes, and a fault later does not take that back',
  async (t) => {
    const url = await closedPort();
    const scenario = await begin(t, {}, { url });
    await saysWhy(scenario, 'not known yet');
    let fails = false;
    const upstream = await startUpstream({
      port: Number(new URL(url).port),
      reply: (request, response) => (fails ? void response.writeHead(502).end() : refuse(request, response)),
    });
    t.teardown(() => upstream.close());
    await isReady(scenario);
    fails = true;
    await until(async () =>
      (await scenario.metrics()).includes('portcullis_upstream_probe_success{upstream="superset"} 0'),
    );
    t.equal((await scenario.readiness()).status, 200, 'a fault says nothing about who is let in');
  },
);

t.test('a large or endless answer is not read', async (t) => {
  const scenario = await begin(t, {
    reply: (_request, response) => {
      response.writeHead(401);
      const pour = () => {
        while (!response.destroyed && response.write('x'.repeat(65_536)));
      };
      response.on('drain', pour);
      pour();
    },
  });
  await isReady(scenario);
  await until(async () => scenario.upstream.requests[0]?.aborted === true);
});

t.test(
  'a reload goes on with what is known, begins anew where the probe has changed, and forgets one that is gone',
  async (t) => {
    const scenario = await begin(t, { reply: refuse });
    await isReady(scenario);
    await scenario.reload({ server: { drainTimeout: '31s' } });
    t.equal((await scenario.readiness()).status, 200, 'known already');
    await scenario.reload({ upstreams: { superset: { probe: { path: '/elsewhere' } } } });
    await until(async () => scenario.upstream.requests.some(({ url }) => url === '/elsewhere'));
    await isReady(scenario);
    await scenario.reload({ upstreams: { superset: { probe: undefined } } });
    t.equal((await scenario.readiness()).status, 200);
    t.notMatch(await scenario.metrics(), /^portcullis_upstream_probe_success\{/m);
  },
);

t.test('a probe is sent to the path of the upstream, and is an MCP request where a route leads there', async (t) => {
  const scenario = await startScenario(
    t,
    {
      upstreams: { superset: { probe: { path: '/mcp', every: '50ms' } } },
      routes: { '/mcp': { path: '/finance/mcp', upstreamPath: '/mcp' } },
    },
    { reply: refuse },
  );
  await isReady(scenario);
  t.match(scenario.upstream.requests[0], { method: 'POST', url: '/mcp' });
});
