// API keys: matching, dates, networks, sunset, and rotation of a pair.
import { hash } from 'node:crypto';
import t from 'tap';
import { type ApiKeyConfig, createApiKeyAuthenticator } from '../../src/authn/api-key.ts';
import type { Verification } from '../../src/authn/authenticator.ts';
import { parseAuthenticators, resource } from './fixture.ts';

const day = 86_400_000;
const now = Date.parse('2026-11-01T00:00:00Z');
const key = 'sk_4f0b1e8a6c2d4f5e9a7b3c1d0e8f6a5b';
const other = 'sk_00000000000000000000000000000000';
const hashOf = (text: string) => `sha256:${hash('sha256', text, 'hex')}`;
const entry = {
  id: 'reporting-tool-1',
  hash: hashOf(key),
  clientId: 'reporting_tool',
  scopes: ['dashboards:read', 'exports:create'],
  expires: '2026-12-31',
};

function create(config: Readonly<Record<string, unknown>> = {}, keys: readonly unknown[] = [entry]) {
  const parsed = parseAuthenticators({ 'legacy-keys': { type: 'apiKey', keys, ...config } });
  const authenticator = createApiKeyAuthenticator('legacy-keys', parsed['legacy-keys'] as ApiKeyConfig);
  return (presented: string, at = now, address = '192.0.2.1', header = 'x-api-key') =>
    authenticator.verify(
      { kind: 'api-key', key: presented, header },
      { now: at, clientAddress: address, resource },
    ) as Verification;
}

function outcome(verification: Verification): string {
  return verification.verified ? 'verified' : verification.reason;
}

t.test('a key makes its client the principal, in its header or as Bearer', (t) => {
  const verify = create({ maxScopes: ['dashboards:read', 'queries:read'] });
  t.same(verify(key), {
    verified: true,
    principal: {
      kind: 'api-key',
      authenticator: 'legacy-keys',
      issuer: 'legacy-keys',
      subject: 'reporting_tool',
      clientId: 'reporting_tool',
      credentialId: 'reporting-tool-1',
      scopes: ['dashboards:read'],
      claims: {},
      issuedAt: undefined,
      expiresAt: Date.parse('2026-12-31'),
      confirmation: undefined,
    },
  });
  t.equal(outcome(verify(key, now, '192.0.2.1', 'authorization')), 'verified');
  t.equal(outcome(verify(key, now, '192.0.2.1', 'x-other-key')), 'format');
  t.notMatch(JSON.stringify(verify(key)), key, 'the principal holds no secret');
  t.end();
});

t.test('only the whole key is the key', (t) => {
  const verify = create();
  const table = [other, key.slice(0, -1), `${key}x`, key.toUpperCase(), 'sk_', hashOf(key).slice(7), hashOf(key)];
  for (const presented of table) t.notOk(verify(presented).verified, presented);
  t.equal(outcome(verify(`xx${key}`)), 'format', 'another prefix');
  t.equal(outcome(create({ prefix: 'rk_' })(key)), 'format');
  t.end();
});

t.test('dates, networks and the sunset are looked at each time', (t) => {
  const verify = create({}, [{ ...entry, notBefore: '2026-10-01', networks: ['10.0.0.0/8', '2001:db8::/32'] }]);
  const table: [string, number, string][] = [
    ['verified', now, '10.1.2.3'],
    ['verified', now, '::ffff:10.1.2.3'],
    ['verified', now, '2001:db8::7'],
    ['network', now, '192.0.2.1'],
    ['network', now, '2001:db9::7'],
    ['network', now, ''],
    ['not_yet_valid', Date.parse('2026-10-01') - 1, '10.1.2.3'],
    ['verified', Date.parse('2026-10-01'), '10.1.2.3'],
    ['verified', Date.parse('2026-12-31') - 1, '10.1.2.3'],
    ['expired', Date.parse('2026-12-31'), '10.1.2.3'],
  ];
  for (const [expected, at, address] of table) {
    t.equal(outcome(verify(key, at, address)), expected, `${new Date(at).toISOString()} ${address}`);
  }
  const sunset = Date.parse('2026-12-01');
  const ending = create({ sunset: '2026-12-01' });
  t.equal(outcome(ending(key, sunset - 1)), 'verified');
  t.equal(outcome(ending(key, sunset)), 'sunset');
  t.equal(outcome(ending(other, sunset)), 'unknown');
  t.match(ending(key), { principal: { expiresAt: sunset } }, 'a stream ends with the keys');
  t.match(create({ sunset: '2027-12-01' }, [{ ...entry, expires: undefined }])(key, now + 300 * day), {
    verified: true,
  });
  t.end();
});

t.test('two keys of a client overlap while one is rotated, and one that is gone is unknown', (t) => {
  const second = { ...entry, id: 'reporting-tool-2', hash: hashOf(other) };
  const both = create({}, [entry, second]);
  t.match(both(key), { principal: { clientId: 'reporting_tool', credentialId: 'reporting-tool-1' } });
  t.match(both(other), { principal: { clientId: 'reporting_tool', credentialId: 'reporting-tool-2' } });
  const rotated = create({}, [second]);
  t.equal(outcome(rotated(key)), 'unknown');
  t.equal(outcome(rotated(other)), 'verified');
  t.equal(outcome(create({}, [])(key)), 'unknown');
  t.throws(() => create({}, [entry, { ...entry, id: 'copy' }]), /"copy" has the hash of another key/);
  t.equal(
    outcome(create({}, [{ ...entry, hash: hashOf(key).toUpperCase().replace('SHA256', 'sha256') }])(key)),
    'verified',
  );
  t.end();
});

t.test('the end of keys is announced from its date on', (t) => {
  const headers = (verification: Verification) => (verification.verified ? verification.responseHeaders : 'refused');
  const all = create({
    deprecation: '2026-11-15',
    sunset: '2027-03-01',
    migrationGuide: 'https://wiki.example.com/mcp-oauth',
  });
  t.equal(headers(all(key)), undefined, 'not before it');
  t.same(headers(all(key, Date.parse('2026-11-15'))), {
    Deprecation: `@${Date.parse('2026-11-15') / 1000}`,
    Sunset: 'Mon, 01 Mar 2027 00:00:00 GMT',
    Link: '<https://wiki.example.com/mcp-oauth>; rel="deprecation"',
  });
  t.same(headers(create({ sunset: '2027-03-01' })(key)), { Sunset: 'Mon, 01 Mar 2027 00:00:00 GMT' });
  t.same(headers(create({ deprecation: '2026-10-01' })(key)), { Deprecation: `@${Date.parse('2026-10-01') / 1000}` });
  t.equal(headers(create({ migrationGuide: 'https://wiki.example.com/' })(key)), undefined);
  t.end();
});
