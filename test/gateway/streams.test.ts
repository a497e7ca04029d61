// Live event streams through the running gateway: ends with the right that they rest on, records, and keep-alive comments.
import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import t, { type Test } from 'tap';
import { createTestCertificates } from '../support/certificates.ts';
import { toolCall } from '../support/client.ts';
import {
  apiKey,
  type Changes,
  type Configuration,
  keyEntry,
  listDashboards,
  overlay,
} from '../support/configuration.ts';
import type { HeldStream } from '../support/event-stream.ts';
import { createFakeIssuer } from '../support/issuer.ts';
import { type Scenario, startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';
import type { RecordedRequest } from '../support/upstream.ts';

// The time of the gateways and of the tokens stands still; `pass` moves that of a gateway.
const startMs = Date.now();
const certificates = await createTestCertificates();
const { authority } = certificates;
const issuer = await createFakeIssuer();
t.teardown(() => issuer.close());
const otherKey = `sk_${randomBytes(32).toString('base64url')}`;

type HoldOptions = Parameters<Scenario['hold']>[0];

const audience = ['https://mcp.example.com/mcp', 'https://mcp.example.com/api'];
const mcpRoute = { authenticate: { anyOf: ['corp', 'keys', 'workloads'] }, mcp: { rules: [listDashboards] } };
const keyed = (key: string, more: Configuration = {}): Changes => ({
  authenticators: { keys: { keys: [keyEntry('k1', key, { scopes: ['dashboards:read'], ...more })] } },
});
const withCrl: Changes = { server: { tls: { clientCrlFile: 'clients.crl' } } };
const withUpstream = (superset: Configuration): Changes => ({ upstreams: { superset } });

async function begin(t: Test, changes: Changes = {}, crl?: string) {
  /** The upstream's side of each stream, in their order. */
  const open: ServerResponse[] = [];
  let skewMs = 0;
  const scenario = await startScenario(
    t,
    overlay(
      {
        authenticators: { corp: { audience }, ...keyed(apiKey).authenticators },
        routes: [
          { path: '/mcp', ...mcpRoute },
          { path: '/api/*', authenticate: { anyOf: ['corp', 'keys'] }, scopes: ['dashboards:read'] },
        ],
      },
      changes,
    ) as Changes,
    {
      issuer,
      reply(request: RecordedRequest, response) {
        open.push(response);
        response.writeHead(200, {
          'content-type': 'text/event-stream',
          ...(request.url.includes('gzip') && { 'content-encoding': 'gzip' }),
        });
        response.flushHeaders();
      },
      tls: certificates,
      files: { 'clients.crl': crl ?? (await authority.revoke([])) },
      now: () => startMs + skewMs,
      streamTickMs: 10,
    },
  );
  return {
    ...scenario,
    open,
    /** Moves the gateway's clock on. */
    pass: (ms: number) => {
      skewMs += ms;
    },
    async hold(options: HoldOptions): Promise<HeldStream> {
      const stream = await scenario.hold(options);
      if (stream.response.statusCode !== 200) throw new Error(`status ${stream.response.statusCode}`);
      return stream;
    },
    /** Resolves when all streams have been looked at once more: one that has expired already, and goes through the same upstream, has ended. */
    async swept(): Promise<void> {
      const exp = Math.floor((startMs + skewMs) / 1000) - 1;
      const expired = await scenario.hold({ headers: await scenario.bearer({ exp }) });
      await expired.ended();
    },
    activeStreams: (route = '/mcp') => scenario.metric('portcullis_active_streams', { route }),
  };
}

const bearer = async (claims?: Configuration) => ({
  authorization: `Bearer ${await issuer.token({ aud: audience, ...claims }, { now: startMs })}`,
});
const withKey = { authorization: `Bearer ${apiKey}` };
const call = toolCall('list_dashboards');
const modernCall = {
  ...call,
  params: {
    name: 'list_dashboards',
    arguments: {},
    _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' },
  },
};
const modernHeaders = {
  'mcp-protocol-version': '2026-07-28',
  'mcp-method': 'tools/call',
  'mcp-name': 'list_dashboards',
};

t.test('a stream ends when its token expires: cleanly, upstream too, with its records (S1)', async (t) => {
  const scenario = await begin(t);
  const stream = await scenario.hold({ headers: await bearer() });
  scenario.open[0]!.write('data: 1\n\n');
  await stream.saw('data: 1\n\n');
  t.equal(await scenario.activeStreams(), 1);
  // Silence is counted from the first look after the last bytes.
  await scenario.swept();
  scenario.pass(290_000);
  await stream.saw(': keep-alive\n\n');
  scenario.open[0]!.write('data: 2\n\n');
  await stream.saw('data: 2\n\n');
  scenario.pass(11_000);
  t.equal(await stream.ended(), 'clean');
  await until(() => scenario.upstream.requests[0]!.aborted);
  const [decided, ended, completed] = await scenario.recordsOf(stream);
  t.match(decided, { stage: 'decided', decision: 'allow' });
  t.match(ended, {
    stage: 'stream',
    reason: 'expired',
    detail: { event: 'ended' },
    principal: { kind: 'oauth', clientId: 'ai_agent_prod' },
    http: { method: 'GET', path: '/mcp' },
    upstream: { name: 'superset', status: 200 },
    bytes: 18,
  });
  t.match(completed, { stage: 'completed', outcome: 'aborted', status: 200, bytes: 18 });
  t.equal(await scenario.activeStreams(), 0);
  t.equal(stream.text(), 'data: 1\n\n: keep-alive\n\ndata: 2\n\n');
});

t.test('it ends behind the event that is on its way, never inside it', async (t) => {
  const scenario = await begin(t);
  const stream = await scenario.hold({ path: '/api/events', headers: await bearer() });
  scenario.open[0]!.write('data: 1\n\ndata: half');
  await stream.saw('half');
  scenario.pass(300_000);
  await scenario.record(({ id, stage }) => id === stream.id && stage === 'stream');
  scenario.open[0]!.write(' and half\n\ndata: too late\n\n');
  t.equal(await stream.ended(), 'clean');
  t.equal(stream.text(), 'data: 1\n\ndata: half and half\n\n');
  await until(() => scenario.upstream.requests[0]!.aborted);
});

t.test('an event that does not end, or bytes that cannot be read, cost the client its connection', async (t) => {
  const scenario = await begin(t);
  const stream = await scenario.hold({ path: '/api/events', headers: await bearer() });
  scenario.open[0]!.write('data: half');
  await stream.saw('half');
  const encoded = await scenario.hold({ path: '/api/gzip', headers: await bearer() });
  scenario.open[1]!.write('\x1f\x8b and so on');
  await encoded.saw('and so on');
  scenario.pass(300_000);
  t.equal(await encoded.ended(), 'cut');
  await scenario.record(({ id, stage }) => id === stream.id && stage === 'stream');
  scenario.pass(2000);
  t.equal(await stream.ended(), 'cut');
  t.match((await scenario.recordsOf(stream)).at(-1), { stage: 'completed', outcome: 'aborted' });
  await until(() => scenario.upstream.requests.every(({ aborted }) => aborted));
  t.equal(await scenario.activeStreams('/api/*'), 0);
});

t.test('the earliest end of all credentials counts: of a key, of a certificate, of one beside a token', async (t) => {
  const soon = new Date(startMs + 600_000);
  const scenario = await begin(t, keyed(apiKey, { expires: soon.toISOString() }));
  const notAfter = new Date(soon.getTime() + 600_000);
  const certificate = await authority.issue({ commonName: 'client-ai-agent-1', notAfter });
  const byKey = await scenario.hold({ headers: withKey });
  const alone = await scenario.hold({ certificate });
  const beside = await scenario.hold({
    certificate,
    headers: await bearer({ exp: Math.floor(startMs / 1000) + 86_400 }),
  });
  scenario.pass(601_000);
  t.equal(await byKey.ended(), 'clean');
  t.match((await scenario.recordsOf(byKey))[1], {
    stage: 'stream',
    reason: 'expired',
    principal: { credentialId: 'k1' },
  });
  scenario.open[1]!.write('data: still\n\n');
  scenario.open[2]!.write('data: still\n\n');
  await Promise.all([alone.saw('still'), beside.saw('still')]);
  scenario.pass(600_000);
  for (const stream of [alone, beside]) {
    t.equal(await stream.ended(), 'clean');
    t.match((await scenario.recordsOf(stream))[1], { stage: 'stream', reason: 'expired' });
  }
});

t.test(
  'a stream ends when the revocation list of its certificate is overdue, as nobody can tell any more',
  async (t) => {
    const nextUpdate = new Date(startMs + 600_000);
    const scenario = await begin(t, withCrl, await authority.revoke([], { nextUpdate }));
    const long = await bearer({ exp: Math.floor(startMs / 1000) + 86_400 });
    const alone = await scenario.hold({ certificate: certificates.agent });
    const beside = await scenario.hold({ certificate: certificates.agent, headers: long });
    const without = await scenario.hold({ headers: long });
    scenario.pass(590_000);
    for (const response of scenario.open) response.write('data: still\n\n');
    await Promise.all([alone, beside, without].map((stream) => stream.saw('still')));
    scenario.pass(11_000);
    for (const stream of [alone, beside]) {
      t.equal(await stream.ended(), 'clean');
      t.match((await scenario.recordsOf(stream))[1], { stage: 'stream', reason: 'expired' });
    }
    scenario.open[2]!.write('data: on\n\n');
    await without.saw('on');
    t.match(
      (await scenario.metrics()).match(
        /crl_next_update_timestamp_seconds\{list="server.tls.clientCrlFile"\} (\d+)/,
      )?.[1],
      String(Math.floor(nextUpdate.getTime() / 1000)),
    );
  },
);

const listing = (entry: Configuration): Changes => ({ authenticators: { workloads: { allow: [entry] } } });
const forAudience = (more: string): Changes => ({ authenticators: { corp: { audience: [...audience, more] } } });
const changes: Record<string, { from: HoldOptions; to: Changes; reason: 'revoked' | 'policy' }> = {
  'its key is gone': {
    from: { headers: withKey },
    to: { authenticators: { keys: { keys: [keyEntry('k2', otherKey, { scopes: [] })] } } },
    reason: 'revoked',
  },
  'another key has its id now': { from: { headers: withKey }, to: keyed(otherKey), reason: 'revoked' },
  'its key was sent to expire in the past': {
    from: { headers: withKey },
    to: keyed(apiKey, { expires: '2001-01-01' }),
    reason: 'revoked',
  },
  'its certificate is not on the allowlist any more': {
    from: { certificate: certificates.agent },
    to: listing({ commonName: 'client-ai-agent-2', clientId: 'ai_agent_prod' }),
    reason: 'revoked',
  },
  'its certificate names another client now': {
    from: { certificate: certificates.agent },
    to: listing({ commonName: 'client-ai-agent-1', clientId: 'reporting_tool' }),
    reason: 'revoked',
  },
  'what tokens must be for has changed': {
    from: { headers: await bearer() },
    to: forAudience('https://mcp.example.com/more'),
    reason: 'revoked',
  },
  'the route takes other credentials now': {
    from: { headers: withKey },
    to: { routes: { '/mcp': { authenticate: 'corp' } } },
    reason: 'revoked',
  },
  'its rule is gone': {
    from: { headers: withKey, message: call },
    to: { routes: { '/mcp': { mcp: { rules: [{ allow: { tools: ['get_chart'] } }] } } } },
    reason: 'policy',
  },
  'its key has lost the scope': {
    from: { headers: withKey, message: call },
    to: keyed(apiKey, { scopes: ['queries:read'] }),
    reason: 'policy',
  },
  'its route is gone': {
    from: { headers: withKey },
    to: {
      ...forAudience('https://mcp.example.com/elsewhere'),
      routes: { '/mcp': undefined, '/elsewhere': mcpRoute },
    },
    reason: 'policy',
  },
  'its origin is not welcome any more': {
    from: { headers: { ...withKey, origin: 'https://app.example.com' } },
    to: { server: { allowedOrigins: [] } },
    reason: 'policy',
  },
};

for (const [what, { from, to, reason }] of Object.entries(changes)) {
  t.test(`after a reload a stream ends because ${what}`, async (t) => {
    const scenario = await begin(t, { server: { allowedOrigins: ['https://app.example.com'] } });
    const stream = await scenario.hold(from);
    scenario.open[0]!.write('data: 1\n\n');
    await stream.saw('data: 1\n\n');
    await scenario.reload(to);
    t.equal(await stream.ended(), 'clean');
    const [, ended, completed] = await scenario.recordsOf(stream);
    const reloaded = await scenario.record(({ stage, detail }) => stage === 'config' && detail?.event === 'reloaded');
    t.match(ended, { stage: 'stream', reason, policy: reloaded.policy }, 'the record names the policy that ended it');
    t.match(completed, { stage: 'completed', outcome: 'aborted', status: 200 });
    t.equal(await scenario.activeStreams(), 0);
  });
}

t.test('a certificate that a new revocation list names takes its streams with it, and only its own', async (t) => {
  const scenario = await begin(t, withCrl);
  const other = await authority.issue({ commonName: 'client-ai-agent-1' });
  const revoked = await scenario.hold({ certificate: certificates.agent, headers: await bearer() });
  const stays = await scenario.hold({ certificate: other, headers: await bearer() });
  await scenario.write('clients.crl', await authority.revoke([certificates.agent.serialNumber]));
  await scenario.reload();
  t.equal(await revoked.ended(), 'clean');
  t.match((await scenario.recordsOf(revoked))[1], { stage: 'stream', reason: 'revoked' });
  scenario.open[1]!.write('data: on\n\n');
  await stays.saw('data: on\n\n');
});

t.test(
  'a reload that takes nothing from a stream leaves it alone, and the next one is judged from there',
  async (t) => {
    const scenario = await begin(t);
    const streams = await Promise.all([
      scenario.hold({ headers: withKey }),
      scenario.hold({ headers: await bearer() }),
      scenario.hold({ certificate: certificates.agent }),
      scenario.hold({ headers: withKey, message: call }),
      scenario.hold({ headers: await bearer(), path: '/api/events' }),
    ]);
    const rules = [{ deny: { tools: ['drop'] } }, { allow: { tools: ['list_*'] } }];
    const harmlessWith = (key: string): Changes => ({
      ...keyed(key, { scopes: ['dashboards:read', 'queries:read'] }),
      routes: { '/mcp': { mcp: { rules } } },
    });
    await scenario.reload(harmlessWith(apiKey));
    scenario.pass(15_000);
    await Promise.all(streams.map((stream) => stream.saw(': keep-alive\n\n')));
    for (const response of scenario.open) response.write('data: on\n\n');
    await Promise.all(streams.map((stream) => stream.saw('data: on\n\n')));
    t.notOk((await scenario.records()).some(({ stage }) => stage === 'stream'));
    await scenario.reload(harmlessWith(otherKey));
    t.equal(await streams[0]!.ended(), 'clean');
    t.equal(await streams[3]!.ended(), 'clean');
    for (const response of scenario.open) response.write('data: still\n\n');
    await Promise.all([1, 2, 4].map((index) => streams[index]!.saw('data: still\n\n')));
  },
);

t.test(
  'a silent stream gets a comment every fifteen seconds, between events only, that counts for nothing',
  async (t) => {
    const scenario = await begin(t);
    const comment = ': keep-alive\n\n';
    const silent = await scenario.hold({ headers: withKey });
    const called = await scenario.hold({ headers: withKey, message: call });
    const midway = await scenario.hold({ headers: withKey, path: '/api/events' });
    const encoded = await scenario.hold({ headers: withKey, path: '/api/gzip' });
    scenario.open[2]!.write('data: 1\n\nid: 2\ndata: ha');
    await midway.saw('ha');
    scenario.pass(14_000);
    await scenario.swept();
    t.equal(silent.text(), '', 'not yet');
    scenario.pass(1000);
    await Promise.all([silent.saw(comment), called.saw(comment)]);
    t.equal(silent.text(), comment, 'one');
    scenario.open[0]!.write(': from the upstream\n\nretry: 5\n\n');
    await silent.saw('retry: 5\n\n');
    scenario.open[2]!.write('lf\n\n');
    await midway.saw('half\n\n');
    await scenario.swept();
    scenario.pass(15_000);
    await Promise.all([midway.saw(`half\n\n${comment}`), silent.saw(`retry: 5\n\n${comment}`)]);
    t.equal(midway.text(), `data: 1\n\nid: 2\ndata: half\n\n${comment}`);
    t.equal(silent.text(), `${comment}: from the upstream\n\nretry: 5\n\n${comment}`);
    t.equal(encoded.text(), '', 'what is encoded cannot be added to');
    scenario.open[0]!.end('data: end\n\n');
    t.equal(await silent.ended(), 'clean');
    t.match((await scenario.recordsOf(silent)).at(-1), { outcome: 'completed', bytes: 42 });
  },
);

t.test('the idle timeout measures the upstream: comments of the gateway do not keep it alive', async (t) => {
  const scenario = await begin(t, withUpstream({ timeouts: { idle: '1500ms' } }));
  const stream = await scenario.hold({ headers: withKey });
  const ticking = setInterval(() => scenario.pass(15_000), 20);
  t.teardown(() => clearInterval(ticking));
  await stream.saw(': keep-alive\n\n: keep-alive\n\n: keep-alive\n\n');
  t.equal(await stream.ended(), 'cut');
  t.match((await scenario.recordsOf(stream)).at(-1), { outcome: 'failed', bytes: 0 });
});

t.test('what becomes of a call whose client leaves depends on the revision of its message', async (t) => {
  const scenario = await begin(t);
  const older = await scenario.hold({ headers: withKey, message: call });
  const modern = await scenario.hold({ headers: { ...withKey, ...modernHeaders }, message: modernCall });
  const get = await scenario.hold({ headers: withKey });
  const path = await scenario.hold({ headers: withKey, path: '/api/x', message: {} });
  for (const stream of [older, modern, get, path]) stream.leave();
  const [first, ...others] = scenario.upstream.requests;
  await until(() => others.every(({ aborted }) => aborted));
  for (const stream of [modern, get, path])
    t.match((await scenario.recordsOf(stream)).at(-1), { stage: 'completed', outcome: 'aborted' });
  t.match((await scenario.recordsOf(older)).at(-1), { stage: 'completed', outcome: 'aborted', bytes: 0 });
  t.equal(await scenario.activeStreams(), 0, 'the older call is no stream to anybody');
  scenario.open[0]!.write('data: progress\n\n');
  await scenario.swept();
  t.notOk(first!.aborted, 'but goes on');
  scenario.open[0]!.end('data: done\n\n');
  await until(() => scenario.open[0]!.writableFinished);
  t.notOk(first!.aborted);
});

t.test('onClientDisconnect can be set either way', async (t) => {
  const draining = await begin(t, withUpstream({ onClientDisconnect: 'drain' }));
  const modern = await draining.hold({ headers: { ...withKey, ...modernHeaders }, message: modernCall });
  modern.leave();
  await draining.recordsOf(modern);
  await draining.swept();
  t.notOk(draining.upstream.requests[0]!.aborted);
  const aborting = await begin(t, withUpstream({ onClientDisconnect: 'abort' }));
  const older = await aborting.hold({ headers: withKey, message: call });
  older.leave();
  await until(() => aborting.upstream.requests[0]!.aborted);
  t.match((await aborting.recordsOf(older)).at(-1), { outcome: 'aborted' });
});

t.test('a stop does not wait for answers that are read for nobody', async (t) => {
  const scenario = await begin(t);
  const older = await scenario.hold({ headers: withKey, message: call });
  older.leave();
  await scenario.recordsOf(older);
  await scenario.swept();
  t.notOk(scenario.upstream.requests[0]!.aborted);
  await scenario.gateway.close();
  t.match((await scenario.recordsOf(older)).at(-1), { stage: 'completed', outcome: 'aborted' });
  await until(() => scenario.upstream.requests[0]!.aborted);
});

t.test(
  'a call of an older revision that expires ends for the client, and for the upstream as if it had left',
  async (t) => {
    const scenario = await begin(t);
    const stream = await scenario.hold({ headers: await bearer(), message: call });
    scenario.open[0]!.write('data: progress\n\n');
    await stream.saw('progress\n\n');
    scenario.pass(300_000);
    t.equal(await stream.ended(), 'clean');
    t.notOk(scenario.upstream.requests[0]!.aborted);
    scenario.open[0]!.end('data: secret\n\n');
    t.match(
      (await scenario.recordsOf(stream)).map(({ stage, reason, outcome }) => [stage, reason, outcome]),
      [
        ['decided', undefined, undefined],
        ['stream', 'expired', undefined],
        ['completed', undefined, 'aborted'],
      ],
    );
    t.notMatch(stream.text(), 'secret');
  },
);
