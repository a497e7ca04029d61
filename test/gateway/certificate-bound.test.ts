// Certificate-bound access tokens (RFC 8705 §3) over real TLS: only who has the certificate can use the token, also when the token is known already.
import t, { type Test } from 'tap';
import type { IssuedCertificate } from '../../src/dev/pki.ts';
import { boundTo, createTestCertificates, fingerprintOf } from '../support/certificates.ts';
import { createClient, type TestClient } from '../support/client.ts';
import { holdStream } from '../support/event-stream.ts';
import { startTestGateway, type TestGateway } from '../support/gateway.ts';
import { createFakeIssuer } from '../support/issuer.ts';
import { startUpstream } from '../support/upstream.ts';

const upstream = await startUpstream();
const issuer = await createFakeIssuer();
t.teardown(() => Promise.all([upstream.close(), issuer.close()]));
const certificates = await createTestCertificates();
const { agent, authority, otherAuthority, reporting, unlisted } = certificates;

interface Variation {
  readonly clientCertificates?: string;
  readonly crl?: boolean;
  /** Without it certificates are there for tokens only. */
  readonly workloads?: boolean;
  readonly upstream?: string;
}

function yamlOf(with_: Variation): string {
  const crl = with_.crl === true ? ', clientCrlFile: clients.crl' : '';
  const workloads =
    with_.workloads === true
      ? 'workloads: {type: mtls, allow: [{commonName: client-ai-agent-1, clientId: ai_agent_prod}, {commonName: client-reporting-1, clientId: reporting_tool}]}'
      : '';
  return `version: 1
server:
  listen: 127.0.0.1:0
  publicUrl: https://mcp.example.com
  tls: {certFile: tls.crt, keyFile: tls.key, clientCertificates: "${with_.clientCertificates ?? 'optional'}", clientCaFile: clients-ca.crt${crl}}
admin: {listen: "127.0.0.1:0"}
authenticators:
  corp: {type: jwt, issuer: "${issuer.issuer}", audience: https://mcp.example.com/mcp}
  ${workloads}
upstreams: {up: {url: "${with_.upstream ?? upstream.url}"}}
routes:
  - {path: /api/*, resource: https://mcp.example.com/mcp, upstream: up, authenticate: corp, scopes: [dashboards:read]}
  - {path: /bound, resource: https://mcp.example.com/mcp, upstream: up, authenticate: ${with_.workloads === true ? '{anyOf: [corp, workloads]}' : 'corp'}, senderConstraint: required}
  - {path: /demanding, resource: https://mcp.example.com/mcp, upstream: up, authenticate: corp, rules: [{allow: {methods: [GET]}, require: {senderConstrained: true}}]}
`;
}

async function sceneOf(
  t: Test,
  with_: Variation = {},
): Promise<TestGateway & { client(certificate?: IssuedCertificate): TestClient }> {
  const gateway = await startTestGateway({
    yaml: yamlOf(with_),
    files: { ...certificates.files, 'clients.crl': await authority.revoke([]) },
    streamTickMs: 10,
  });
  t.teardown(() => gateway.close());
  return {
    ...gateway,
    client(certificate) {
      const client = createClient({ port: gateway.port, ca: authority.certificatePem, certificate });
      t.teardown(() => client.close());
      return client;
    },
  };
}

const authorized = (token: string) => ({ path: '/api/x', headers: { authorization: `Bearer ${token}` } });

/** Sends with a token and says what came of it: status, code, what was recorded and whether the upstream saw anything. */
async function outcomeOf(gateway: TestGateway, client: TestClient, token: string) {
  const seen = upstream.requests.length;
  const answer = await client.send(authorized(token));
  const record = await gateway.record(({ id, stage }) => id === answer.id && stage === 'completed');
  const { code } = answer.status === 200 ? { code: undefined } : (JSON.parse(answer.text) as { code: string });
  return {
    outcome: `${answer.status} ${code ?? 'ok'}`,
    challenge: answer.headers['www-authenticate'],
    record,
    forwarded: upstream.requests.length - seen,
  };
}

for (const workloads of [true, false]) {
  t.test(`a bound token needs its certificate, ${workloads ? 'beside' : 'without'} an allowlist`, async (t) => {
    const gateway = await sceneOf(t, { workloads });
    const bound = await issuer.token({ ...boundTo(agent), jti: 'bound' });
    const withAgent = gateway.client(agent);
    for (const attempt of ['first', 'from the cache']) {
      const good = await outcomeOf(gateway, withAgent, bound);
      t.match(good, { outcome: '200 ok', forwarded: 1 }, attempt);
      t.same(
        good.record.credentials,
        [
          { kind: 'client-certificate', authenticator: workloads ? 'workloads' : undefined, id: fingerprintOf(agent) },
          { kind: 'access-token', authenticator: 'corp', id: 'bound' },
        ].map((each) => JSON.parse(JSON.stringify(each))),
      );
    }
    for (const [what, client] of [
      ['no certificate', gateway.client()],
      ["another client's certificate", gateway.client(reporting)],
    ] as const) {
      const stolen = await outcomeOf(gateway, client, bound);
      t.match(stolen, { outcome: '401 invalid_token', forwarded: 0 }, what);
      t.match(stolen.challenge, /^Bearer error="invalid_token", scope="dashboards:read", resource_metadata="/, what);
      t.match(stolen.record, { decision: 'deny', reason: 'invalid_token', status: 401 }, what);
    }
    t.match(
      await gateway.metrics(),
      'portcullis_authentications_total{authenticator="corp",result="refused",reason="sender_constraint"} 2',
    );
    const otherName = await issuer.token(boundTo(unlisted));
    t.match(
      await outcomeOf(gateway, gateway.client(unlisted), otherName),
      workloads ? { outcome: '401 invalid_certificate', forwarded: 0 } : { outcome: '200 ok', forwarded: 1 },
      'an allowlist holds for certificates that prove a token, too',
    );
    t.match(
      await outcomeOf(gateway, gateway.client(otherAuthority), await issuer.token(boundTo(otherAuthority))),
      { outcome: '401 invalid_certificate', forwarded: 0 },
      'a certificate that nobody trusts is refused even where the token names it',
    );
    t.match(await outcomeOf(gateway, gateway.client(agent), await issuer.token()), { outcome: '200 ok' }, 'unbound');
  });
}

t.test('a binding that cannot be checked is refused and never ignored', async (t) => {
  const gateway = await sceneOf(t);
  const client = gateway.client(agent);
  const { cnf } = boundTo(agent);
  const digest = cnf['x5t#S256']!;
  for (const [what, value] of [
    ['nothing', null],
    ['a text', digest],
    ['a list', [digest]],
    ['no member', {}],
    ['a key by value', { jwk: { kty: 'EC' } }],
    ['a key id', { kid: 'k' }],
    ['a SHA-1 thumbprint', { x5t: 'x' }],
    ['another spelling of the member', { 'X5T#S256': digest }],
    ['a thumbprint in hex', { 'x5t#S256': Buffer.from(digest, 'base64url').toString('hex') }],
    ['a padded thumbprint', { 'x5t#S256': `${digest}=` }],
    [
      'a second spelling of the same bytes',
      { 'x5t#S256': `${digest.slice(0, -1)}${String.fromCharCode(digest.charCodeAt(42) + 1)}` },
    ],
    ['a number', { 'x5t#S256': 1 }],
    ['both kinds', { 'x5t#S256': digest, jkt: digest }],
    ['something beside it', { 'x5t#S256': digest, kid: 'k' }],
  ] as const) {
    t.match(
      await outcomeOf(gateway, client, await issuer.token({ cnf: value })),
      { outcome: '401 invalid_token', forwarded: 0 },
      what,
    );
  }
});

t.test('a route or a rule can demand a bound token', async (t) => {
  const gateway = await sceneOf(t, { workloads: true });
  const client = gateway.client(agent);
  const [bound, unbound] = await Promise.all([issuer.token(boundTo(agent)), issuer.token()]);
  for (const [path, token, status, code, reason] of [
    ['/bound', bound, 200, undefined, undefined],
    ['/demanding', bound, 200, undefined, undefined],
    ['/bound', unbound, 401, 'invalid_token', /error="invalid_token"/],
    ['/demanding', unbound, 403, 'denied', undefined],
  ] as const) {
    const seen = upstream.requests.length;
    const answer = await client.send({ path, headers: { authorization: `Bearer ${token}` } });
    t.equal(answer.status, status, path);
    t.equal(upstream.requests.length - seen, status === 200 ? 1 : 0);
    if (code === undefined) continue;
    t.match(JSON.parse(answer.text), { code });
    if (reason !== undefined) t.match(answer.headers['www-authenticate'], reason);
    t.match(await gateway.record(({ id }) => id === answer.id), { reason: code, decision: 'deny' });
  }
  t.equal((await client.send({ path: '/bound' })).status, 200, 'a certificate that acts by itself is bound by nature');
  t.equal((await gateway.client().send({ path: '/bound' })).status, 401);
});

t.test('with certificates switched off, or for a connection without one, a bound token is worth nothing', async (t) => {
  const off = await sceneOf(t, { clientCertificates: 'off' });
  const bound = await issuer.token(boundTo(agent));
  t.match(await outcomeOf(off, off.client(agent), bound), { outcome: '401 invalid_token', forwarded: 0 });
});

t.test('a revoked certificate ends what its token began, and a reload leaves other streams alone', async (t) => {
  const streaming = await startUpstream({
    reply(_request, response) {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.flushHeaders();
    },
  });
  const gateway = await sceneOf(t, { upstream: streaming.url });
  t.teardown(() => streaming.close());
  const hold = async (certificate: IssuedCertificate) => {
    const token = await issuer.token(boundTo(certificate));
    const stream = await holdStream({
      port: gateway.port,
      ca: authority.certificatePem,
      certificate,
      path: '/api/events',
      headers: { authorization: `Bearer ${token}` },
    });
    t.teardown(() => stream.leave());
    t.equal(stream.response.statusCode, 200);
    return { stream, token };
  };
  const ends = await hold(agent);
  const stays = await hold(reporting);
  await gateway.write('clients.crl', await authority.revoke([agent.serialNumber]));
  await gateway.reload(yamlOf({ upstream: streaming.url, crl: true }));
  t.equal(await ends.stream.ended(), 'clean');
  await gateway.record(({ stage, reason }) => stage === 'stream' && reason === 'revoked');
  t.equal((await gateway.records()).filter(({ stage }) => stage === 'stream').length, 1);
  const again = await gateway.client(agent).send(authorized(ends.token));
  t.equal(again.status, 401);
  t.match(JSON.parse(again.text), { code: 'invalid_certificate' });
  stays.stream.leave();
});
