// Live event streams through the running gateway: they end when their right ends, with a record, and say something while they are silent.
import { createHash, randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import t, { type Test } from 'tap';
import { createTestCertificates } from '../support/certificates.ts';
import { toolCall } from '../support/client.ts';
import { type HeldStream, type HeldStreamOptions, holdStream } from '../support/event-stream.ts';
import { startTestGateway } from '../support/gateway.ts';
import { createFakeIssuer } from '../support/issuer.ts';
import { until } from '../support/until.ts';
import { type RecordedRequest, startUpstream } from '../support/upstream.ts';

const certificates = await createTestCertificates();
const { authority } = certificates;
const issuer = await createFakeIssuer();
t.teardown(() => issuer.close());
const key = `sk_${randomBytes(32).toString('base64url')}`;
const otherKey = `sk_${randomBytes(32).toString('base64url')}`;
const hashOf = (text: string) => createHash('sha256').update(text).digest('hex');

/** Everything a test may take away or change. */
interface Variation {
  readonly keyHash?: string;
  readonly keyScopes?: string;
  readonly keyExpires?: string;
  readonly keys?: string;
  readonly allow?: string;
  readonly audience?: string;
  readonly clientCertificates?: string;
  readonly crl?: boolean;
  readonly authenticate?: string;
  readonly rules?: string;
  readonly path?: string;
  readonly hosts?: string;
  readonly upstream?: string;
  readonly more?: string;
}

function yamlOf(upstreamUrl: string, with_: Variation = {}): string {
  const entry = `{id: k1, hash: "sha256:${with_.keyHash ?? hashOf(key)}", clientId: reporting_tool, scopes: [${with_.keyScopes ?? 'dashboards:read'}], expires: ${with_.keyExpires ?? '2099-01-01'}}`;
  return `version: 1
server:
  listen: 127.0.0.1:0
  publicUrl: https://mcp.example.com
  allowedOrigins: [${with_.hosts ?? ''}]
  tls: {certFile: tls.crt, keyFile: tls.key, clientCertificates: "${with_.clientCertificates ?? 'optional'}", clientCaFile: clients-ca.crt${with_.crl ? ', clientCrlFile: clients.crl' : ''}}
admin: {listen: "127.0.0.1:0"}
authenticators:
  corp: {type: jwt, issuer: "${issuer.issuer}", audience: [https://mcp.example.com/mcp, https://mcp.example.com/api${with_.audience ?? ''}]}
  keys: {type: apiKey, keys: [${with_.keys ?? entry}]}
  workloads: {type: mtls, allow: [${with_.allow ?? '{commonName: client-ai-agent-1, clientId: ai_agent_prod}'}]}
upstreams: {up: {url: "${upstreamUrl}"${with_.upstream ?? ''}}}
routes:
  - path: ${with_.path ?? '/mcp'}
    upstream: up
    authenticate: ${with_.authenticate ?? '{anyOf: [corp, keys, workloads]}'}
    mcp:
      rules: [${with_.rules ?? '{allow: {tools: [list_dashboards]}, require: {scopes: [dashboards:read]}}'}]
  - {path: /api/*, upstream: up, authenticate: {anyOf: [corp, keys]}, scopes: [dashboards:read]}
${with_.more ?? ''}`;
}

async function sceneOf(t: Test, first: Variation = {}, crl?: string) {
  const open: ServerResponse[] = [];
  const upstream = await startUpstream({
    reply(request: RecordedRequest, response) {
      open.push(response);
      response.writeHead(200, {
        'content-type': 'text/event-stream',
        ...(request.url.includes('gzip') && { 'content-encoding': 'gzip' }),
      });
      response.flushHeaders();
    },
  });
  let skewMs = 0;
  const gateway = await startTestGateway({
    yaml: yamlOf(upstream.url, first),
    files: { ...certificates.files, 'clients.crl': crl ?? (await authority.revoke([])) },
    now: () => Date.now() + skewMs,
    streamTickMs: 10,
  });
  const held: HeldStream[] = [];
  t.teardown(async () => {
    for (const stream of held) stream.leave();
    await gateway.close();
    await upstream.close();
  });
  return {
    gateway,
    upstream,
    /** The upstream's side of each stream, in their order. */
    open,
    /** Moves the gateway's clock on. */
    pass: (ms: number) => {
      skewMs += ms;
    },
    reload: (with_: Variation) => gateway.reload(yamlOf(upstream.url, with_)),
    async hold(options: Omit<HeldStreamOptions, 'port'>): Promise<HeldStream> {
      const stream = await holdStream({ port: gateway.port, ca: authority.certificatePem, ...options });
      held.push(stream);
      if (stream.response.statusCode !== 200) throw new Error(`status ${stream.response.statusCode}`);
      return stream;
    },
    /** Resolves when all streams have been looked at once more: one that has expired already, and goes through the same upstream, has ended. */
    async swept(): Promise<void> {
      const exp = Math.floor((Date.now() + skewMs) / 1000) - 1;
      const expired = await holdStream({
        port: gateway.port,
        ca: authority.certificatePem,
        headers: await bearer({ exp }),
      });
      await expired.ended();
    },
    async activeStreams(route = '/mcp'): Promise<number> {
      const line = (await gateway.metrics())
        .split('\n')
        .find((each) => each.startsWith(`portcullis_active_streams{route="${route}"}`));
      return Number(line?.split(' ')[1]);
    },
    /** The records of one exchange, once it is over. */
    async recordsOf(stream: HeldStream) {
      const id = String(stream.response.headers['x-request-id']);
      await gateway.record((record) => record.id === id && record.stage === 'completed');
      return (await gateway.records()).filter((record) => record.id === id);
    },
  };
}

const bearer = async (claims?: Readonly<Record<string, unknown>>) => ({
  authorization: `Bearer ${await issuer.token(claims)}`,
});
const withKey = { authorization: `Bearer ${key}` };
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
  const scene = await sceneOf(t);
  const stream = await scene.hold({ headers: await bearer() });
  scene.open[0]!.write('data: 1\n\n');
  await stream.saw('data: 1\n\n');
  t.equal(await scene.activeStreams(), 1);
  scene.pass(290_000);
  await stream.saw(': keep-alive\n\n');
  scene.open[0]!.write('data: 2\n\n');
  await stream.saw('data: 2\n\n');
  scene.pass(11_000);
  t.equal(await stream.ended(), 'clean');
  await until(() => scene.upstream.requests[0]!.aborted);
  const [decided, ended, completed] = await scene.recordsOf(stream);
  t.match(decided, { stage: 'decided', decision: 'allow' });
  t.match(ended, {
    stage: 'stream',
    reason: 'expired',
    detail: { event: 'ended' },
    principal: { kind: 'oauth', clientId: 'ai_agent_prod' },
    http: { method: 'GET', path: '/mcp' },
    upstream: { name: 'up', status: 200 },
    bytes: 18,
  });
  t.match(completed, { stage: 'completed', outcome: 'aborted', status: 200, bytes: 18 });
  t.equal(await scene.activeStreams(), 0);
  t.equal(stream.text(), 'data: 1\n\n: keep-alive\n\ndata: 2\n\n');
});

t.test('it ends behind the event that is on its way, never inside it', async (t) => {
  const scene = await sceneOf(t);
  const stream = await scene.hold({ path: '/api/events', headers: await bearer() });
  scene.open[0]!.write('data: 1\n\ndata: half');
  await stream.saw('half');
  scene.pass(300_000);
  const id = stream.response.headers['x-request-id'];
  await scene.gateway.record((record) => record.id === id && record.stage === 'stream');
  scene.open[0]!.write(' and half\n\ndata: too late\n\n');
  t.equal(await stream.ended(), 'clean');
  t.equal(stream.text(), 'data: 1\n\ndata: half and half\n\n');
  await until(() => scene.upstream.requests[0]!.aborted);
});

t.test('an event that does not end, or bytes that cannot be read, cost the client its connection', async (t) => {
  const scene = await sceneOf(t);
  const stream = await scene.hold({ path: '/api/events', headers: await bearer() });
  scene.open[0]!.write('data: half');
  await stream.saw('half');
  const encoded = await scene.hold({ path: '/api/gzip', headers: await bearer() });
  scene.open[1]!.write('\x1f\x8b and so on');
  await encoded.saw('and so on');
  scene.pass(300_000);
  t.equal(await encoded.ended(), 'cut');
  const id = stream.response.headers['x-request-id'];
  await scene.gateway.record((record) => record.id === id && record.stage === 'stream');
  scene.pass(2000);
  t.equal(await stream.ended(), 'cut');
  t.match((await scene.recordsOf(stream)).at(-1), { stage: 'completed', outcome: 'aborted' });
  await until(() => scene.upstream.requests.every(({ aborted }) => aborted));
  t.equal(await scene.activeStreams('/api/*'), 0);
});

t.test('the earliest end of all credentials counts: of a key, of a certificate, of one beside a token', async (t) => {
  const soon = new Date(Date.now() + 600_000);
  const scene = await sceneOf(t, { keyExpires: `"${soon.toISOString()}"` });
  const notAfter = new Date(soon.getTime() + 600_000);
  const certificate = await authority.issue({ commonName: 'client-ai-agent-1', notAfter });
  const byKey = await scene.hold({ headers: withKey });
  const alone = await scene.hold({ certificate });
  const beside = await scene.hold({
    certificate,
    headers: await bearer({ exp: Math.floor(Date.now() / 1000) + 86_400 }),
  });
  scene.pass(601_000);
  t.equal(await byKey.ended(), 'clean');
  t.match((await scene.recordsOf(byKey))[1], { stage: 'stream', reason: 'expired', principal: { credentialId: 'k1' } });
  scene.open[1]!.write('data: still\n\n');
  scene.open[2]!.write('data: still\n\n');
  await Promise.all([alone.saw('still'), beside.saw('still')]);
  scene.pass(600_000);
  for (const stream of [alone, beside]) {
    t.equal(await stream.ended(), 'clean');
    t.match((await scene.recordsOf(stream))[1], { stage: 'stream', reason: 'expired' });
  }
});

t.test(
  'a stream ends when the revocation list of its certificate is overdue, as nobody can tell any more',
  async (t) => {
    const nextUpdate = new Date(Date.now() + 600_000);
    const scene = await sceneOf(t, { crl: true }, await authority.revoke([], { nextUpdate }));
    const long = await bearer({ exp: Math.floor(Date.now() / 1000) + 86_400 });
    const alone = await scene.hold({ certificate: certificates.agent });
    const beside = await scene.hold({ certificate: certificates.agent, headers: long });
    const without = await scene.hold({ headers: long });
    scene.pass(590_000);
    for (const response of scene.open) response.write('data: still\n\n');
    await Promise.all([alone, beside, without].map((stream) => stream.saw('still')));
    scene.pass(11_000);
    for (const stream of [alone, beside]) {
      t.equal(await stream.ended(), 'clean');
      t.match((await scene.recordsOf(stream))[1], { stage: 'stream', reason: 'expired' });
    }
    scene.open[2]!.write('data: on\n\n');
    await without.saw('on');
    t.match(
      (await scene.gateway.metrics()).match(
        /crl_next_update_timestamp_seconds\{list="server.tls.clientCrlFile"\} (\d+)/,
      )?.[1],
      String(Math.floor(nextUpdate.getTime() / 1000)),
    );
  },
);

const changes: Record<string, { from: Omit<HeldStreamOptions, 'port'>; to: Variation; reason: 'revoked' | 'policy' }> =
  {
    'its key is gone': {
      from: { headers: withKey },
      to: {
        keys: `{id: k2, hash: "sha256:${hashOf(otherKey)}", clientId: reporting_tool, scopes: [], expires: 2099-01-01}`,
      },
      reason: 'revoked',
    },
    'another key has its id now': { from: { headers: withKey }, to: { keyHash: hashOf(otherKey) }, reason: 'revoked' },
    'its key was sent to expire in the past': {
      from: { headers: withKey },
      to: { keyExpires: '2001-01-01' },
      reason: 'revoked',
    },
    'its certificate is not on the allowlist any more': {
      from: { certificate: certificates.agent },
      to: { allow: '{commonName: client-ai-agent-2, clientId: ai_agent_prod}' },
      reason: 'revoked',
    },
    'its certificate names another client now': {
      from: { certificate: certificates.agent },
      to: { allow: '{commonName: client-ai-agent-1, clientId: reporting_tool}' },
      reason: 'revoked',
    },
    'what tokens must be for has changed': {
      from: { headers: await bearer() },
      to: { audience: ', https://mcp.example.com/more' },
      reason: 'revoked',
    },
    'the route takes other credentials now': {
      from: { headers: withKey },
      to: { authenticate: 'corp' },
      reason: 'revoked',
    },
    'its rule is gone': {
      from: { headers: withKey, message: call },
      to: { rules: '{allow: {tools: [get_chart]}}' },
      reason: 'policy',
    },
    'its key has lost the scope': {
      from: { headers: withKey, message: call },
      to: { keyScopes: 'queries:read' },
      reason: 'policy',
    },
    'its route is gone': {
      from: { headers: withKey },
      to: { path: '/elsewhere', audience: ', https://mcp.example.com/elsewhere' },
      reason: 'policy',
    },
    'its origin is not welcome any more': {
      from: { headers: { ...withKey, origin: 'https://app.example.com' } },
      to: { hosts: '' },
      reason: 'policy',
    },
  };

for (const [what, { from, to, reason }] of Object.entries(changes)) {
  t.test(`after a reload a stream ends because ${what}`, async (t) => {
    const scene = await sceneOf(t, { hosts: 'https://app.example.com' });
    const stream = await scene.hold(from);
    scene.open[0]!.write('data: 1\n\n');
    await stream.saw('data: 1\n\n');
    await scene.reload({ hosts: 'https://app.example.com', ...to });
    t.equal(await stream.ended(), 'clean');
    const [, ended, completed] = await scene.recordsOf(stream);
    const reloaded = await scene.gateway.record(
      ({ stage, detail }) => stage === 'config' && detail?.event === 'reloaded',
    );
    t.match(ended, { stage: 'stream', reason, policy: reloaded.policy }, 'the record names the policy that ended it');
    t.match(completed, { stage: 'completed', outcome: 'aborted', status: 200 });
    t.equal(await scene.activeStreams(), 0);
  });
}

t.test('a certificate that a new revocation list names takes its streams with it, and only its own', async (t) => {
  const scene = await sceneOf(t, { crl: true });
  const other = await authority.issue({ commonName: 'client-ai-agent-1' });
  const revoked = await scene.hold({ certificate: certificates.agent, headers: await bearer() });
  const stays = await scene.hold({ certificate: other, headers: await bearer() });
  await scene.gateway.write('clients.crl', await authority.revoke([certificates.agent.serialNumber]));
  await scene.reload({ crl: true });
  t.equal(await revoked.ended(), 'clean');
  t.match((await scene.recordsOf(revoked))[1], { stage: 'stream', reason: 'revoked' });
  scene.open[1]!.write('data: on\n\n');
  await stays.saw('data: on\n\n');
});

t.test(
  'a reload that takes nothing from a stream leaves it alone, and the next one is judged from there',
  async (t) => {
    const scene = await sceneOf(t);
    const streams = await Promise.all([
      scene.hold({ headers: withKey }),
      scene.hold({ headers: await bearer() }),
      scene.hold({ certificate: certificates.agent }),
      scene.hold({ headers: withKey, message: call }),
      scene.hold({ headers: await bearer(), path: '/api/events' }),
    ]);
    const harmless: Variation = {
      keyScopes: 'dashboards:read, queries:read',
      rules: '{deny: {tools: [drop]}}, {allow: {tools: ["list_*"]}}',
    };
    await scene.reload(harmless);
    scene.pass(15_000);
    await Promise.all(streams.map((stream) => stream.saw(': keep-alive\n\n')));
    for (const response of scene.open) response.write('data: on\n\n');
    await Promise.all(streams.map((stream) => stream.saw('data: on\n\n')));
    t.notOk((await scene.gateway.records()).some(({ stage }) => stage === 'stream'));
    await scene.reload({ ...harmless, keyHash: hashOf(otherKey) });
    t.equal(await streams[0]!.ended(), 'clean');
    t.equal(await streams[3]!.ended(), 'clean');
    for (const response of scene.open) response.write('data: still\n\n');
    await Promise.all([1, 2, 4].map((index) => streams[index]!.saw('data: still\n\n')));
  },
);

t.test(
  'a silent stream gets a comment every fifteen seconds, between events only, that counts for nothing',
  async (t) => {
    const scene = await sceneOf(t);
    const comment = ': keep-alive\n\n';
    const silent = await scene.hold({ headers: withKey });
    const called = await scene.hold({ headers: withKey, message: call });
    const midway = await scene.hold({ headers: withKey, path: '/api/events' });
    const encoded = await scene.hold({ headers: withKey, path: '/api/gzip' });
    scene.open[2]!.write('data: 1\n\nid: 2\ndata: ha');
    await midway.saw('ha');
    scene.pass(14_000);
    await scene.swept();
    t.equal(silent.text(), '', 'not yet');
    scene.pass(1000);
    await Promise.all([silent.saw(comment), called.saw(comment)]);
    t.equal(silent.text(), comment, 'one');
    scene.open[0]!.write(': from the upstream\n\nretry: 5\n\n');
    await silent.saw('retry: 5\n\n');
    scene.open[2]!.write('lf\n\n');
    await midway.saw('half\n\n');
    await scene.swept();
    scene.pass(15_000);
    await Promise.all([midway.saw(`half\n\n${comment}`), silent.saw(`retry: 5\n\n${comment}`)]);
    t.equal(midway.text(), `data: 1\n\nid: 2\ndata: half\n\n${comment}`);
    t.equal(silent.text(), `${comment}: from the upstream\n\nretry: 5\n\n${comment}`);
    t.equal(encoded.text(), '', 'what is encoded cannot be added to');
    scene.open[0]!.end('data: end\n\n');
    t.equal(await silent.ended(), 'clean');
    t.match((await scene.recordsOf(silent)).at(-1), { outcome: 'completed', bytes: 42 });
  },
);

t.test('the idle timeout measures the upstream: comments of the gateway do not keep it alive', async (t) => {
  const scene = await sceneOf(t, { upstream: ', timeouts: {idle: 1500ms}' });
  const stream = await scene.hold({ headers: withKey });
  const ticking = setInterval(() => scene.pass(15_000), 100);
  t.teardown(() => clearInterval(ticking));
  await stream.saw(': keep-alive\n\n: keep-alive\n\n: keep-alive\n\n');
  t.equal(await stream.ended(), 'cut');
  t.match((await scene.recordsOf(stream)).at(-1), { outcome: 'failed', bytes: 0 });
});

t.test('what becomes of a call whose client leaves depends on the revision of its message', async (t) => {
  const scene = await sceneOf(t);
  const older = await scene.hold({ headers: withKey, message: call });
  const modern = await scene.hold({ headers: { ...withKey, ...modernHeaders }, message: modernCall });
  const get = await scene.hold({ headers: withKey });
  const path = await scene.hold({ headers: withKey, path: '/api/x', message: {} });
  for (const stream of [older, modern, get, path]) stream.leave();
  const [first, ...others] = scene.upstream.requests;
  await until(() => others.every(({ aborted }) => aborted));
  for (const stream of [modern, get, path])
    t.match((await scene.recordsOf(stream)).at(-1), { stage: 'completed', outcome: 'aborted' });
  t.match((await scene.recordsOf(older)).at(-1), { stage: 'completed', outcome: 'aborted', bytes: 0 });
  t.equal(await scene.activeStreams(), 0, 'the older call is no stream to anybody');
  scene.open[0]!.write('data: progress\n\n');
  await scene.swept();
  t.notOk(first!.aborted, 'but goes on');
  scene.open[0]!.end('data: done\n\n');
  await until(() => scene.open[0]!.writableFinished);
  t.notOk(first!.aborted);
});

t.test('onClientDisconnect can be set either way', async (t) => {
  const draining = await sceneOf(t, { upstream: ', onClientDisconnect: drain' });
  const modern = await draining.hold({ headers: { ...withKey, ...modernHeaders }, message: modernCall });
  modern.leave();
  await draining.recordsOf(modern);
  await draining.swept();
  t.notOk(draining.upstream.requests[0]!.aborted);
  const aborting = await sceneOf(t, { upstream: ', onClientDisconnect: abort' });
  const older = await aborting.hold({ headers: withKey, message: call });
  older.leave();
  await until(() => aborting.upstream.requests[0]!.aborted);
  t.match((await aborting.recordsOf(older)).at(-1), { outcome: 'aborted' });
});

t.test('a stop does not wait for answers that are read for nobody', async (t) => {
  const scene = await sceneOf(t);
  const older = await scene.hold({ headers: withKey, message: call });
  older.leave();
  await scene.recordsOf(older);
  await scene.swept();
  t.notOk(scene.upstream.requests[0]!.aborted);
  await scene.gateway.gateway.close();
  t.match((await scene.recordsOf(older)).at(-1), { stage: 'completed', outcome: 'aborted' });
  await until(() => scene.upstream.requests[0]!.aborted);
});

t.test(
  'a call of an older revision that expires ends for the client, and for the upstream as if it had left',
  async (t) => {
    const scene = await sceneOf(t);
    const stream = await scene.hold({ headers: await bearer(), message: call });
    scene.open[0]!.write('data: progress\n\n');
    await stream.saw('progress\n\n');
    scene.pass(300_000);
    t.equal(await stream.ended(), 'clean');
    t.notOk(scene.upstream.requests[0]!.aborted);
    scene.open[0]!.end('data: secret\n\n');
    t.match(
      (await scene.recordsOf(stream)).map(({ stage, reason, outcome }) => [stage, reason, outcome]),
      [
        ['decided', undefined, undefined],
        ['stream', 'expired', undefined],
        ['completed', undefined, 'aborted'],
      ],
    );
    t.notMatch(stream.text(), 'secret');
  },
);
