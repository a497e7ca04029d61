// Certificate-bound access tokens (RFC 8705 §3) over real TLS: only who has the certificate can use the token, also when the token is known already.
import t, { type Test } from 'tap';
import type { IssuedCertificate } from '../../src/pki/authority.ts';
import { boundTo, certificateAllowlist, createTestCertificates, fingerprintOf } from '../support/certificates.ts';
import type { TestClient } from '../support/client.ts';
import type { Configuration } from '../support/configuration.ts';
import { type Scenario, startScenario } from '../support/scenario.ts';
import type { Reply } from '../support/upstream.ts';

const certificates = await createTestCertificates();
const { agent, authority, otherAuthority, reporting, unlisted } = certificates;

const resource = 'https://mcp.example.com/mcp';

/** Certificates are there for tokens only, unless there is an allowlist. */
async function begin(t: Test, { tls = {}, workloads = false, reply }: Variation = {}) {
  const scenario = await startScenario(
    t,
    {
      server: { tls },
      authenticators: { workloads: workloads ? certificateAllowlist : undefined },
      routes: [
        { path: '/api/*', resource, scopes: ['dashboards:read'] },
        {
          path: '/bound',
          resource,
          authenticate: workloads ? { anyOf: ['corp', 'workloads'] } : 'corp',
          senderConstraint: 'required',
        },
        {
          path: '/demanding',
          resource,
          rules: [{ allow: { methods: ['GET'] }, require: { senderConstrained: true } }],
        },
      ],
    },
    {
      tls: certificates,
      files: { 'clients.crl': await authority.revoke([]) },
      streamTickMs: 10,
      ...(reply !== undefined && { reply }),
    },
  );
  const client = (certificate?: IssuedCertificate) => scenario.connect({ certificate });
  return { ...scenario, client };
}

interface Variation {
  readonly tls?: Configuration;
  readonly workloads?: boolean;
  readonly reply?: Reply;
}

const authorized = (token: string) => ({ path: '/api/x', headers: { authorization: `Bearer ${token}` } });

/** Sends with a token and says what came of it: status, code, what was recorded and whether the upstream saw anything. */
async function outcomeOf({ recordOf, upstream }: Scenario, client: TestClient, token: string) {
  const seen = upstream.requests.length;
  const answer = await client.send(authorized(token));
  const record = await recordOf(answer);
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
    const scenario = await begin(t, { workloads });
    const bound = await scenario.token({ ...boundTo(agent), jti: 'bound' });
    const withAgent = scenario.client(agent);
    for (const attempt of ['first', 'from the cache']) {
      const good = await outcomeOf(scenario, withAgent, bound);
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
      ['no certificate', scenario.client()],
      ["another client's certificate", scenario.client(reporting)],
    ] as const) {
      const stolen = await outcomeOf(scenario, client, bound);
      t.match(stolen, { outcome: '401 invalid_token', forwarded: 0 }, what);
      t.match(stolen.challenge, /^Bearer error="invalid_token", scope="dashboards:read", resource_metadata="/, what);
      t.match(stolen.record, { decision: 'deny', reason: 'invalid_token', status: 401 }, what);
    }
    const labels = { authenticator: 'corp', result: 'refused', reason: 'sender_constraint' };
    t.equal(await scenario.metric('portcullis_authentications_total', labels), 2);
    const otherName = await scenario.token(boundTo(unlisted));
    t.match(
      await outcomeOf(scenario, scenario.client(unlisted), otherName),
      workloads ? { outcome: '401 invalid_certificate', forwarded: 0 } : { outcome: '200 ok', forwarded: 1 },
      'an allowlist holds for certificates that prove a token, too',
    );
    t.match(
      await outcomeOf(scenario, scenario.client(otherAuthority), await scenario.token(boundTo(otherAuthority))),
      { outcome: '401 invalid_certificate', forwarded: 0 },
      'a certificate that nobody trusts is refused even where the token names it',
    );
    t.match(
      await outcomeOf(scenario, scenario.client(agent), await scenario.token()),
      { outcome: '200 ok' },
      'unbound',
    );
  });
}

t.test('a binding that cannot be checked is refused and never ignored', async (t) => {
  const scenario = await begin(t);
  const client = scenario.client(agent);
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
      await outcomeOf(scenario, client, await scenario.token({ cnf: value })),
      { outcome: '401 invalid_token', forwarded: 0 },
      what,
    );
  }
});

t.test('a route or a rule can demand a bound token', async (t) => {
  const scenario = await begin(t, { workloads: true });
  const client = scenario.client(agent);
  const [bound, unbound] = await Promise.all([scenario.token(boundTo(agent)), scenario.token()]);
  for (const [path, token, status, code, reason] of [
    ['/bound', bound, 200, undefined, undefined],
    ['/demanding', bound, 200, undefined, undefined],
    ['/bound', unbound, 401, 'invalid_token', /error="invalid_token"/],
    ['/demanding', unbound, 403, 'denied', undefined],
  ] as const) {
    const seen = scenario.upstream.requests.length;
    const answer = await client.send({ path, headers: { authorization: `Bearer ${token}` } });
    t.equal(answer.status, status, path);
    t.equal(scenario.upstream.requests.length - seen, status === 200 ? 1 : 0);
    if (code === undefined) continue;
    t.match(JSON.parse(answer.text), { code });
    if (reason !== undefined) t.match(answer.headers['www-authenticate'], reason);
    t.match(await scenario.record(({ id }) => id === answer.id), { reason: code, decision: 'deny' });
  }
  t.equal((await client.send({ path: '/bound' })).status, 200, 'a certificate that acts by itself is bound by nature');
  t.equal((await scenario.client().send({ path: '/bound' })).status, 401);
});

t.test('with certificates switched off, or for a connection without one, a bound token is worth nothing', async (t) => {
  const off = await begin(t, { tls: { clientCertificates: 'off' } });
  const bound = await off.token(boundTo(agent));
  t.match(await outcomeOf(off, off.client(agent), bound), { outcome: '401 invalid_token', forwarded: 0 });
});

t.test('a revoked certificate ends what its token began, and a reload leaves other streams alone', async (t) => {
  const scenario = await begin(t, {
    reply(_request, response) {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.flushHeaders();
    },
  });
  const hold = async (certificate: IssuedCertificate) => {
    const token = await scenario.token(boundTo(certificate));
    const stream = await scenario.hold({
      certificate,
      path: '/api/events',
      headers: { authorization: `Bearer ${token}` },
    });
    t.equal(stream.response.statusCode, 200);
    return { stream, token };
  };
  const ends = await hold(agent);
  const stays = await hold(reporting);
  await scenario.write('clients.crl', await authority.revoke([agent.serialNumber]));
  await scenario.reload({ server: { tls: { clientCrlFile: 'clients.crl' } } });
  t.equal(await ends.stream.ended(), 'clean');
  await scenario.record(({ stage, reason }) => stage === 'stream' && reason === 'revoked');
  t.equal((await scenario.records()).filter(({ stage }) => stage === 'stream').length, 1);
  const again = await scenario.client(agent).send(authorized(ends.token));
  t.equal(again.status, 401);
  t.match(JSON.parse(again.text), { code: 'invalid_certificate' });
  stays.stream.leave();
});
