// Opaque tokens beyond one request: bound to a certificate, and on streams, whose token is gone by the time the configuration changes.
import t from 'tap';
import { boundTo, createTestCertificates } from '../support/certificates.ts';
import { createClient } from '../support/client.ts';
import { holdStream } from '../support/event-stream.ts';
import { startTestGateway } from '../support/gateway.ts';
import { startIntrospection } from '../support/introspection.ts';
import { startUpstream } from '../support/upstream.ts';

const certificates = await createTestCertificates();
const { agent, authority, reporting } = certificates;
const partner = await startIntrospection();
const upstream = await startUpstream({
  reply: (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: open\n\n');
  },
});
const api = await startUpstream();
const resource = 'https://mcp.example.com/mcp';
let clock = Date.now();

const keys = {
  endpoint: `"${partner.endpoint}"`,
  issuer: 'https://partner.example/',
  clientId: 'c',
  clientSecret: 's',
};
const yaml = (changed: Record<string, string> = {}, route = '') => `version: 1
server:
  listen: 127.0.0.1:0
  publicUrl: https://mcp.example.com
  tls: {certFile: tls.crt, keyFile: tls.key, clientCertificates: optional, clientCaFile: clients-ca.crt}
admin: {listen: "127.0.0.1:0"}
authenticators:
  partner: {type: introspection, ${Object.entries({ ...keys, ...changed })
    .map(([key, value]) => `${key}: ${value}`)
    .join(', ')}}
upstreams: {up: {url: "${upstream.url}"}, api: {url: "${api.url}"}}
routes:
  - {path: /events, resource: "${resource}", upstream: up, authenticate: partner, scopes: [dashboards:read]}
  - {path: /api, resource: "${resource}", upstream: api, authenticate: partner, scopes: [dashboards:read]${route}}
`;

const gateway = await startTestGateway({
  yaml: yaml(),
  files: certificates.files,
  now: () => clock,
  streamTickMs: 10,
});
t.teardown(async () => {
  await gateway.close();
  await Promise.all([upstream.close(), api.close(), partner.close()]);
});

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
  const stream = await holdStream({
    port: gateway.port,
    ca: authority.certificatePem,
    path: '/events',
    headers: headers(token),
  });
  await stream.saw('open');
  return stream;
};
const endOf = async ({ response }: Awaited<ReturnType<typeof hold>>) => {
  const id = response.headers['x-request-id'];
  return gateway.record((record) => record.id === id && record.stage === 'stream');
};

t.test('a token that its server binds to a certificate needs it, also out of the cache (RFC 8705 §3.2)', async (t) => {
  const connect = (certificate?: typeof agent) => {
    const client = createClient({ port: gateway.port, ca: authority.certificatePem, certificate });
    t.teardown(() => client.close());
    return client;
  };
  partner.answers.set('bound', answer({ ...boundTo(agent), jti: 'bound' }));
  for (const round of ['first', 'known']) {
    const good = await connect(agent).send({ path: '/api', headers: headers('bound') });
    t.equal(good.status, 200, round);
    for (const other of [undefined, reporting]) {
      const seen = api.requests.length;
      const bad = await connect(other).send({ path: '/api', headers: headers('bound') });
      t.equal(bad.status, 401, `${round}: without it`);
      t.equal(api.requests.length, seen);
      const record = await gateway.record(({ id }) => id === bad.id);
      t.match(record.detail, { credential: { problem: 'sender_constraint' } });
    }
  }
  t.equal(partner.questions.length, 1, 'one question was enough for all of them');
});

t.test('a stream goes on over a reload that leaves its authenticator as it is', async (t) => {
  partner.answers.set('lasting', answer());
  const stream = await hold('lasting');
  const questions = partner.questions.length;
  await gateway.reload(yaml({ cacheFor: '10s' }, ', methods: [GET]'));
  await gateway.reload(yaml({ clientAuthentication: 'client_secret_post' }));
  clock += 15_000;
  await stream.saw(': keep-alive\n\n');
  t.equal((await gateway.records()).filter(({ stage }) => stage === 'stream').length, 0);
  t.equal(partner.questions.length, questions, 'and nobody was asked again: there is no token to ask about');
  stream.leave();
  await gateway.reload(yaml());
});

const changes: Record<string, Record<string, string>> = {
  issuer: { issuer: 'https://other.example/' },
  demand: { requiredClaims: '{tenant: [acme]}' },
  endpoint: { endpoint: `"${partner.endpoint}2"` },
  client: { clientId: 'another' },
};
for (const [what, changed] of Object.entries(changes)) {
  t.test(`a stream ends when its token would be judged by another ${what}`, async (t) => {
    partner.answers.set(`before-${what}`, answer());
    const stream = await hold(`before-${what}`);
    await gateway.reload(yaml(changed));
    t.equal(await stream.ended(), 'clean');
    t.match(await endOf(stream), { reason: 'revoked', principal: { clientId: 'ai_agent_prod' } });
    await gateway.reload(yaml());
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
