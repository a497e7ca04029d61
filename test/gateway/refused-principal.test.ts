// Records of refused credentials: client and subject where the signature held, and nobody where it did not.
import t from 'tap';
import { certificateAllowlist, createTestCertificates } from '../support/certificates.ts';
import { apiKey, keyEntry, listDashboards } from '../support/configuration.ts';
import { createDpopKey } from '../support/dpop.ts';
import { createSigningKey } from '../support/issuer.ts';
import { startIntrospection } from '../support/oauth-endpoints.ts';
import { type Credentials, startScenario } from '../support/scenario.ts';

const resource = 'https://mcp.example.com/mcp';
const second = Math.floor(Date.now() / 1000);
const certificates = await createTestCertificates();
const { authority, stranger } = certificates;
const ended = { notAfter: new Date(Date.now() - 60_000) };
const partner = await startIntrospection();
t.teardown(partner.close);
const keys = { expired: 'sk_expired', early: 'sk_early', elsewhere: 'sk_elsewhere', revoked: 'sk_revoked' };
const opaque = (name: string, answer: object) => {
  partner.answers.set(name, {
    active: true,
    aud: resource,
    sub: 'anna',
    client_id: 'partner_app',
    jti: name,
    ...answer,
  });
  return { headers: { authorization: `Bearer ${name}` } };
};
const scenario = await startScenario(
  t,
  {
    server: { limits: { refusalsPerAddress: '1000/s' } },
    authenticators: {
      corp: { claims: { tenant: 'org' }, requiredClaims: { env: ['prod'] } },
      keys: {
        keys: [
          keyEntry('k1', apiKey),
          keyEntry('expired', keys.expired, { expires: '2020-01-01' }),
          keyEntry('early', keys.early, { notBefore: '2098-01-01' }),
          keyEntry('elsewhere', keys.elsewhere, { networks: ['192.0.2.0/24'] }),
          keyEntry('revoked', keys.revoked),
        ],
      },
      workloads: certificateAllowlist,
      partner: partner.authenticator,
    },
    revocation: { file: 'revoked.yaml' },
    routes: {
      '/mcp': {
        authenticate: { anyOf: ['corp', 'keys', 'partner'], optional: ['workloads'] },
        mcp: { rules: [listDashboards] },
      },
      '/api/*': { authenticate: 'keys' },
    },
  },
  { tls: certificates, files: { 'revoked.yaml': 'jti: [revoked-1]\nkeyIds: [revoked]\n' } },
);

const dpop = await createDpopKey();
const person = { sub: 'anna', client_id: 'ai_agent_prod', jti: 'jti-1', org: 'acme', env: 'prod' };
const signed = async (claims: object, key = scenario.issuer.key) => ({
  headers: { authorization: `Bearer ${await scenario.token({ ...person, ...claims }, { key })}` },
});
const keyed = (key: string) => ({ headers: { 'x-api-key': key } });
const anna = {
  kind: 'oauth',
  issuer: scenario.issuer.issuer,
  subject: 'anna',
  clientId: 'ai_agent_prod',
  credentialId: 'jti-1',
  tenant: 'acme',
};
const reporting = (credentialId: string) => ({
  kind: 'api-key',
  issuer: 'keys',
  subject: 'reporting_tool',
  clientId: 'reporting_tool',
  credentialId,
});
const ofPartner = { kind: 'oauth', issuer: 'https://partner.example/', subject: 'anna', clientId: 'partner_app' };
const mtls = { kind: 'mtls', issuer: 'workloads' };

type Case = [name: string, credentials: Credentials, problem: string, principal: object | undefined, path?: string];

async function names(cases: readonly Case[]): Promise<void> {
  for (const [name, credentials, problem, principal, path = '/mcp'] of cases) {
    const before = scenario.upstream.requests.length;
    const caller = await scenario.as(credentials);
    const { status, id } = await caller.call('list_dashboards', undefined, { path });
    t.equal(status, 401, name);
    t.equal(scenario.upstream.requests.length, before, name);
    const record = await scenario.recordOf({ id });
    t.match(record, { decision: 'deny', detail: { credential: { problem } } }, name);
    t.match(record.principal ?? {}, principal ?? {}, name);
    t.equal(record.principal === undefined, principal === undefined, name);
    if (principal === undefined)
      t.notMatch(JSON.stringify(record), /anna|ai_agent_prod|client-ai/, `${name}: nobody is named`);
  }
}

t.test('a refused token whose signature held: expired, wrong audience, revoked, and the rest', async () => {
  await names([
    ['expired', await signed({ exp: second - 60 }), 'expired', anna],
    ['wrong audience', await signed({ aud: 'https://other.example' }), 'audience', anna],
    ['revoked', await signed({ jti: 'revoked-1' }), 'revoked', { ...anna, credentialId: 'revoked-1' }],
    ['not yet valid', await signed({ nbf: second + 600 }), 'not_yet_valid', anna],
    ['a required claim is missing', await signed({ env: undefined }), 'claims', anna],
    ['malformed scopes', await signed({ scope: 'a\tb' }), 'claims', anna],
    ['no end', await signed({ exp: undefined }), 'claims', anna],
    ['a malformed client', await signed({ client_id: 'a\nb' }), 'claims', { ...anna, clientId: undefined }],
    ['an ID token', await signed({ at_hash: 'x' }), 'token_type', anna],
    ['bound to a key, without a proof', await signed(dpop.binding), 'sender_constraint', anna],
    ['bound to another certificate', await signed({ cnf: { 'x5t#S256': 'A'.repeat(43) } }), 'sender_constraint', anna],
    ['not accepted on the route', await signed({ aud: 'https://mcp.example.com/api' }), 'not_accepted', anna, '/api/x'],
  ]);
});

t.test('a token whose signature did not hold names nobody', async () => {
  const forger = createSigningKey('ES256', scenario.issuer.key.kid);
  await names([
    ['forged', await signed({}, forger), 'signature', undefined],
    ['forged and expired', await signed({ exp: second - 60 }, forger), 'signature', undefined],
    ['of an unknown key', await signed({}, createSigningKey('ES256', 'other')), 'unknown_key', undefined],
    ['of another issuer', await signed({ iss: 'https://evil.example' }), 'issuer', undefined],
    ['not about the subject', await signed({ sub: undefined, client_id: undefined, exp: 1 }), 'expired', undefined],
  ]);
});

t.test('introspection answers that were active, and those that were not', async () => {
  await names([
    ['wrong audience', opaque('other-audience', { aud: 'https://other.example' }), 'audience', ofPartner],
    ['expired', opaque('over', { exp: second - 60 }), 'expired', ofPartner],
    ['a refresh token', opaque('refresh', { token_use: 'refresh_token' }), 'token_type', ofPartner],
    ['another issuer', opaque('another-issuer', { iss: 'https://evil.example' }), 'issuer', undefined],
    ['inactive', opaque('inactive', { active: false }), 'inactive', undefined],
  ]);
});

t.test('keys that match, and a key that does not', async () => {
  await names([
    ['expired', keyed(keys.expired), 'expired', reporting('expired')],
    ['not yet valid', keyed(keys.early), 'not_yet_valid', reporting('early')],
    ['from elsewhere', keyed(keys.elsewhere), 'network', reporting('elsewhere')],
    ['revoked', keyed(keys.revoked), 'revoked', reporting('revoked')],
    ['unknown', keyed('sk_unknown'), 'unknown', undefined],
  ]);
});

t.test('certificates whose chain held, and those whose chain did not', async () => {
  const expired = await authority.issue({ commonName: 'client-ai-agent-1', ...ended });
  const forged = await stranger.issue({ commonName: 'client-ai-agent-1', ...ended });
  const agent = { ...mtls, subject: 'client-ai-agent-1', clientId: 'ai_agent_prod' };
  await names([
    ['expired', { certificate: expired }, 'expired', agent],
    ['on no allowlist', { certificate: certificates.unlisted }, 'identity', { ...mtls, subject: 'client-ai-agent-2' }],
    ['of another authority', { certificate: certificates.otherAuthority }, 'untrusted', undefined],
    ['of another authority, expired', { certificate: forged }, 'expired', undefined],
  ]);
  const beside = { certificate: certificates.agent, ...(await signed({}, createSigningKey('ES256', 'other'))) };
  const { id } = await (await scenario.as(beside)).call('list_dashboards');
  t.match(
    await scenario.recordOf({ id }),
    { principal: undefined },
    'a good certificate does not stand for a forged token',
  );
});
