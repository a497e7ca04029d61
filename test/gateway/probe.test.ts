// An upstream that lets in who shows no credential is found out before the gateway is ready, and whenever it begins to.
import t, { type Test } from 'tap';
import { startTestGateway, type TestGateway } from '../support/gateway.ts';
import { createFakeIssuer } from '../support/issuer.ts';
import { until } from '../support/until.ts';
import { closedPort, type Reply, startUpstream } from '../support/upstream.ts';

const refuse: Reply = (_request, response) => {
  response.writeHead(401, { 'content-type': 'application/json' }).end('{"error":"invalid_token"}');
};
const letIn: Reply = (_request, response) => {
  response.writeHead(200, { 'content-type': 'application/json' }).end('{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}');
};
const ready = async (gateway: TestGateway) => {
  const response = await fetch(`http://127.0.0.1:${gateway.adminPort}/readyz`);
  return { status: response.status, text: await response.text() };
};
const issuer = await createFakeIssuer();
t.teardown(() => issuer.close());

const yaml = (url: string, probe = '{path: /mcp, every: 50ms}') => `
version: 1
server: {listen: "127.0.0.1:0", publicUrl: https://mcp.example.com}
admin: {listen: "127.0.0.1:0"}
authenticators: {corp: {type: jwt, issuer: "${issuer.issuer}"}}
upstreams: {superset: {url: "${url}", probe: ${probe}}}
routes:
  - {path: /mcp, upstream: superset, authenticate: corp, mcp: {preset: superset}}
  - {path: /api/*, upstream: superset, authenticate: corp, scopes: ["dashboards:read"]}
`;

async function begin(test: Test, url: string, probe?: string): Promise<TestGateway> {
  const gateway = await startTestGateway({ yaml: yaml(url, probe) });
  test.teardown(() => gateway.close());
  return gateway;
}

const isReady = (gateway: TestGateway) => until(async () => (await ready(gateway)).status === 200);
const saysWhy = (gateway: TestGateway, why: string) => until(async () => (await ready(gateway)).text.includes(why));

t.test(
  'an upstream that refuses makes the gateway ready, and is asked without any credential or identity',
  async (t) => {
    const upstream = await startUpstream({ reply: refuse });
    t.teardown(() => upstream.close());
    const gateway = await begin(t, `${upstream.url}/base`);
    await isReady(gateway);
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
    const { detail } = await gateway.record(
      ({ stage, detail }) => stage === 'config' && detail?.event === 'upstream probed',
    );
    t.same(detail, { event: 'upstream probed', upstream: 'superset', found: 'refused', status: 401 });
    t.match(await gateway.metrics(), /^portcullis_upstream_probe_success\{upstream="superset"\} 1$/m);
  },
);

t.test(
  'an upstream that lets anybody in keeps the gateway from being ready, and the reason says what to do',
  async (t) => {
    const upstream = await startUpstream({ reply: letIn });
    t.teardown(() => upstream.close());
    const gateway = await begin(t, upstream.url);
    await saysWhy(gateway, 'answers callers without a credential (status 200 instead of 401 or 403)');
    t.match(await ready(gateway), { status: 503, text: /upstream superset: .*make it verify the assertion/ });
    await gateway.record(
      ({ stage, detail }) => stage === 'config' && detail?.found === 'answered' && detail?.status === 200,
    );
    t.match(await gateway.metrics(), /^portcullis_upstream_probe_success\{upstream="superset"\} 0$/m);
  },
);

t.test('one that begins to let anybody in is found out, and one that refuses again is taken back', async (t) => {
  let reply = refuse;
  const upstream = await startUpstream({ reply: (request, response) => reply(request, response) });
  t.teardown(() => upstream.close());
  const gateway = await begin(t, upstream.url);
  await isReady(gateway);
  reply = letIn;
  await saysWhy(gateway, 'status 200');
  reply = refuse;
  await isReady(gateway);
  const probed = await gateway.matchingRecords(3, ({ detail }) => detail?.event === 'upstream probed');
  t.same(
    probed.map(({ detail }) => detail?.found),
    ['refused', 'answered', 'refused'],
    'a record for each change, none for each probe',
  );
});

t.test('what answers 404 or 405 has not refused: the path may be wrong', async (t) => {
  const upstream = await startUpstream({ reply: (_request, response) => void response.writeHead(404).end() });
  t.teardown(() => upstream.close());
  const gateway = await begin(t, upstream.url, '{path: /health, every: 50ms}');
  await saysWhy(gateway, 'status 404');
  t.equal(upstream.requests[0]?.method, 'GET', 'only the path of an MCP route is asked for tools');
});

for (const [fault, reply, reason] of [
  ['says nothing', () => {}, 'no answer within 40 ms'],
  ['fails', (_request, response) => void response.writeHead(500).end(), 'status 500'],
  ['closes the connection', (_request, response) => void response.destroy(), 'other side closed'],
] as const satisfies [string, Reply, string][]) {
  t.test(`one that ${fault} is not known to refuse: not ready, without hanging`, async (t) => {
    const upstream = await startUpstream({ reply });
    t.teardown(() => upstream.close());
    const gateway = await begin(t, upstream.url, '{path: /mcp, every: 50ms, timeout: 40ms}');
    await saysWhy(gateway, `not known yet whether it refuses callers without a credential (${reason})`);
    t.equal((await ready(gateway)).status, 503);
  });
}

t.test(
  'one that is down at first makes the gateway ready when it comes, and a fault later does not take that back',
  async (t) => {
    const url = await closedPort();
    const gateway = await begin(t, url);
    await saysWhy(gateway, 'not known yet');
    let fails = false;
    const upstream = await startUpstream({
      port: Number(new URL(url).port),
      reply: (request, response) => (fails ? void response.writeHead(502).end() : refuse(request, response)),
    });
    t.teardown(() => upstream.close());
    await isReady(gateway);
    fails = true;
    await until(async () =>
      (await gateway.metrics()).includes('portcullis_upstream_probe_success{upstream="superset"} 0'),
    );
    t.equal((await ready(gateway)).status, 200, 'a fault says nothing about who is let in');
  },
);

t.test('a large or endless answer is not read', async (t) => {
  const upstream = await startUpstream({
    reply: (_request, response) => {
      response.writeHead(401);
      const pour = () => {
        while (!response.destroyed && response.write('x'.repeat(65_536)));
      };
      response.on('drain', pour);
      pour();
    },
  });
  t.teardown(() => upstream.close());
  const gateway = await begin(t, upstream.url);
  await isReady(gateway);
  await until(async () => upstream.requests[0]?.aborted === true);
});

t.test(
  'a reload goes on with what is known, begins anew where the probe has changed, and forgets one that is gone',
  async (t) => {
    const upstream = await startUpstream({ reply: refuse });
    t.teardown(() => upstream.close());
    const gateway = await begin(t, upstream.url);
    await isReady(gateway);
    await gateway.reload(`${yaml(upstream.url)}# changed\n`);
    t.equal((await ready(gateway)).status, 200, 'known already');
    await gateway.reload(yaml(upstream.url, '{path: /elsewhere, every: 50ms}'));
    await until(async () => upstream.requests.some(({ url }) => url === '/elsewhere'));
    await isReady(gateway);
    await gateway.reload(yaml(upstream.url).replace(/, probe: \{.*?\}\}/, '}'));
    t.equal((await ready(gateway)).status, 200);
    t.notMatch(await gateway.metrics(), /^portcullis_upstream_probe_success\{/m);
  },
);
