// Opaque tokens beyond one request: bound to a certificate, and on streams, whose token is gone by the time the configuration changes.
import t from 'tap';
import { boundTo, createTestCertificates } from '../support/certificates.ts';
import type { Configuration } from '../support/configuration.ts';
import type { HeldStream } from '../support/event-stream.ts';
import { startIntrospection } from '../support/oauth-endpoints.ts';
import { startScenario } from '../support/scenario.ts';
import { startUpstream } from '../support/upstream.ts';

const certificates = await createTestCertificates();
const { agent, reporting } = certificates;
const partner = await startIntrospection();
const api = await startUpstream();
t.teardown(() => Promise.all([api.close(), partner.close()]));
const resource = 'https://mcp.example.com/mcp';
let clock = Date.now();

const scenario = await startScenario(
  t,
  {
    authenticators: { workloads: undefined, partner: partner.authenticator },
    upstreams: { api: { url: api.url } },
    routes: [
      { path: '/events', resource, authenticate: 'partner', scopes: ['dashboards:read'] },
      { path: '/api', resource, upstream: 'api', authenticate: 'partner', scopes: ['dashboards:read'] },
    ],
  },
  {
    reply(_request, response) {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: open\n\n');
    },
    tls: certificates,
    now: () => clock,
    streamTickMs: 10,
  },
);
const reloadWith = (changed: Configuration) => scenario.reload({ authenticators: { partner: changed } });

const answer = (more: Record<string, unknown> = {}) => ({
  active: true,
  aud: resource,
  client_id: 'ai_agent_prod',
  scope: 'dashboards:read',
  exp: Math.floor(clock / 1000) + 300,
  ...more,
});
const headers = (token: string) => ({ authorization: `Bearer ${token}` });
const hold = async (token: string) => {
  const stream = await scenario.hold({ path: '/events', headers: headers(token) });
  await stream.saw('open');
  return stream;
};
const endOf = async ({ id }: HeldStream) => scenario.record((record) => record.id === id && record.stage === 'stream');

t.test('a token that its server binds to a certificate needs it, also out of the cache (RFC 8705 §3.2)', async (t) => {
  partner.answers.set('bound', answer({ ...boundTo(agent), jti: 'bound' }));
  for (const round of ['first', 'known']) {
    const good = await scenario.connect({ certificate: agent }).send({ path: '/api', headers: headers('bound') });
    t.equal(good.status, 200, round);
    for (const other of [undefined, reporting]) {
      const seen = api.requests.length;
      const bad = await scenario.connect({ certificate: other }).send({ path: '/api', headers: headers('bound') });
      t.equal(bad.status, 401, `${round}: without it`);
      t.equal(api.requests.length, seen);
      const record = await scenario.record(({ id }) => id === bad.id);
      t.match(record.detail, { credential: { problem: 'sender_constraint' } });
    }
  }
  t.equal(partner.questions.length, 1, 'one question was enough for all of them');
});

t.test('a stream goes on over a reload that leaves its authenticator as it is', async (t) => {
  partner.answers.set('lasting', answer());
  const stream = await hold('lasting');
  const questions = partner.questions.length;
  await scenario.reload({ authenticators: { partner: { cacheFor: '10s' } }, routes: { '/api': { methods: ['GET'] } } });
  await reloadWith({ clientAuthentication: 'client_secret_post' });
  clock += 15_000;
  await stream.saw(': keep-alive\n\n');
  t.equal((await scenario.records()).filter(({ stage }) => stage === 'stream').length, 0);
  t.equal(partner.questions.length, questions, 'and nobody was asked again: there is no token to ask about');
  stream.leave();
  await scenario.reload();
});

const changes: Record<string, Configuration> = {
  issuer: { issuer: 'https://other.example/' },
  demand: { requiredClaims: { tenant: ['acme'] } },
  endpoint: { endpoint: `${partner.endpoint}2` },
  client: { clientId: 'another' },
};
for (const [what, changed] of Object.entries(changes)) {
  t.test(`a stream ends when its token would be judged by another ${what}`, async (t) => {
    partner.answers.set(`before-${what}`, answer());
    const stream = await hold(`before-${what}`);
    await reloadWith(changed);
    t.equal(await stream.ended(), 'clean');
    t.match(await endOf(stream), { reason: 'revoked', principal: { clientId: 'ai_agent_prod' } });
    await scenario.reload();
  });
}

t.test('a stream ends with its token, or an hour after the question where the answer tells no end', async (t) => {
  partner.answers.set('short', answer());
  partner.answers.set('endless', answer({ exp: undefined }));
  const [short, endless] = [await hold('short'), await hold('endless')];
  clock += 301_000;
  t.equal(await short.ended(), 'clean');
  t.match(await endOf(short), { reason: 'expired' });
  clock += 3_200_000;
  await endless.saw('keep-alive');
  clock += 100_000;
  t.equal(await endless.ended(), 'clean');
  t.match(await endOf(endless), { reason: 'expired' });
});
