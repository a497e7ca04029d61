// An issuer that fails or lies, floods of unknown keys and stolen keys at the running gateway: rows T4, T5, K1 and K2 of the threat table.
// Tokens that are none have a table of their own (token-table).
import t, { type Test } from 'tap';
import { type Attack, assertForwarded, assertRefused, attack, host, post, withKey } from '../support/attack.ts';
import { toolCall } from '../support/client.ts';
import { apiKey, type Configuration, hashOf, keyEntry } from '../support/configuration.ts';
import { createFakeIssuer } from '../support/issuer.ts';
import { startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';

const clock = { now: Date.now() };
const scenario = await startScenario(t, {}, { now: () => clock.now });
const { issuer } = scenario;
const http = { method: 'POST', path: '/mcp' };

const call = (credential: string) => post(toolCall('list_dashboards'), [host, credential]);
const bearer = (token: string) => call(`Authorization: Bearer ${token}`);
const token = (claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}) =>
  issuer.token(claims, { header, now: clock.now });

/** How often this was counted so far. */
const counted = (authenticator: string, result: string, reason: string) =>
  scenario.metric('portcullis_authentications_total', { authenticator, result, reason });

/** 401 with a challenge, counted under `reason`, and nobody but the issuer was asked. */
async function refusesToken(t: Test, name: string, text: string, reason: string, owner = 'corp'): Promise<void> {
  const before = await counted(owner, 'refused', reason);
  const result = await attack(scenario, bearer(text));
  assertRefused(t, name, result, { status: 401, code: 'invalid_token', http });
  t.match(
    result.answer.headers['www-authenticate'],
    /^Bearer error="invalid_token", scope="dashboards:read", resource_metadata="https:\/\/mcp\.example\.com\/.well-known\/oauth-protected-resource\/mcp", DPoP algs="[^"]+"$/,
    name,
  );
  t.equal(await counted(owner, 'refused', reason), before + 1, `${name}: ${owner} ${reason}`);
  t.notOk('principal' in result.record, `${name}: nobody was recognised`);
}

async function accepts(t: Test, name: string, bytes: string): Promise<Attack> {
  const result = await attack(scenario, bytes);
  assertForwarded(t, name, result);
  return result;
}

t.test('the good token is let in, or the rest shows nothing', async (t) => {
  await accepts(t, 'good', bearer(await token()));
});

t.test('an issuer that fails or lies changes nothing: the last good keys serve on (T4)', async (t) => {
  const faults = ['down', 'error', 'huge', 'redirect', 'garbage', 'empty', 'wrong-issuer', 'not-found'] as const;
  const failures = () => scenario.metric('portcullis_key_set_refresh_failures_total');
  const before = await failures();
  for (const [index, fault] of faults.entries()) {
    issuer.fault = fault;
    clock.now += 11 * 60_000;
    await accepts(t, fault, bearer(await token()));
    await until(async () => (await failures()) > before + index);
  }
  t.same(issuer.requests.others, [], 'no redirect was followed');
  issuer.fault = undefined;
  const weak = { kty: 'oct', k: 'c2VjcmV0', kid: 'oct', alg: 'HS256' };
  issuer.publish([
    weak,
    { ...issuer.key.privateKey.export({ format: 'jwk' }), kid: 'private' },
    { ...issuer.key.jwk, kid: 'enc', use: 'enc' },
    issuer.key.jwk,
  ]);
  clock.now += 11 * 60_000;
  const fetched = issuer.requests.keys;
  await accepts(t, 'good', bearer(await token()));
  await until(() => issuer.requests.keys > fetched);
  for (const kid of ['private', 'enc'])
    await refusesToken(t, `the ${kid} key`, await token({}, { kid }), 'unknown_key');
});

t.test('unknown key ids make the gateway ask once in ten seconds, also while the issuer fails (T5)', async (t) => {
  for (const fault of [undefined, 'error'] as const) {
    issuer.fault = fault;
    clock.now += 60_000;
    const { keys, metadata } = issuer.requests;
    const tokens = await Promise.all(Array.from({ length: 60 }, (_, index) => token({}, { kid: `flood-${index}` })));
    const results = [];
    for (const text of tokens) results.push(await attack(scenario, bearer(text)));
    t.ok(
      results.every(
        ({ answer, code, forwarded }) => answer.status === 401 && code === 'invalid_token' && forwarded.length === 0,
      ),
      `${fault}: all refused`,
    );
    t.ok(
      issuer.requests.keys - keys + (fault === undefined ? 0 : issuer.requests.metadata - metadata) <= 2,
      `${fault}: one fetch`,
    );
    t.ok(issuer.requests.keys - keys <= 1);
    clock.now += 10_001;
    await attack(scenario, bearer(await token({}, { kid: 'flood-again' })));
    t.ok(issuer.requests.keys - keys <= 2, `${fault}: and one more after the cooldown`);
  }
  issuer.fault = undefined;
  clock.now += 60_000;
  issuer.rotate();
  await accepts(t, 'a key that was rotated in is found', bearer(await token()));
});

t.test('keys that are too old are no keys: 503, not ready, and back by itself', async (t) => {
  issuer.fault = 'error';
  clock.now += 25 * 3_600_000;
  const result = await attack(scenario, bearer(await token()));
  assertRefused(t, 'stale', result, { status: 503, code: 'idp_unavailable', http });
  t.equal(result.answer.headers['www-authenticate'], undefined, 'the token may be good');
  t.match((await scenario.readiness()).text, /issuer .*: no keys yet, or they are too old/);
  await accepts(t, 'a key needs no issuer', call(withKey));
  issuer.fault = undefined;
  clock.now += 10_001;
  await accepts(t, 'again', bearer(await token()));
  t.equal((await scenario.readiness()).status, 200);
});

t.test('a start without the issuer: not ready, 503 for tokens, 401 without any, and recovery', async (t) => {
  const cold = await createFakeIssuer();
  t.teardown(cold.close);
  cold.fault = 'down';
  const scenario = await startScenario(t, {}, { issuer: cold, now: () => clock.now });
  const good = await scenario.token();
  t.match(await scenario.readiness(), { status: 503, text: `issuer ${cold.issuer}: no keys yet` });
  const result = await attack(scenario, bearer(good));
  assertRefused(t, 'cold', result, { status: 503, code: 'idp_unavailable', http });
  t.equal(result.answer.headers['retry-after'], '10');
  const labels = { authenticator: 'corp', result: 'unavailable', reason: 'key_set' };
  t.equal(await scenario.metric('portcullis_authentications_total', labels), 1);
  const none = await attack(scenario, post(toolCall('list_dashboards'), [host]));
  assertRefused(t, 'nothing presented', none, { status: 401, code: 'credentials_required', http });
  t.equal((await attack(scenario, call(withKey))).answer.status, 200, 'keys work');
  cold.fault = undefined;
  clock.now += 10_001;
  t.equal((await attack(scenario, bearer(good))).answer.status, 200);
  t.equal((await scenario.readiness()).status, 200);
});

t.test('every bad key gets the same answer, and a key that was taken back is bad at once (K1, K2)', async (t) => {
  const keys = {
    old: `sk_${'o'.repeat(43)}`,
    early: `sk_${'e'.repeat(43)}`,
    far: `sk_${'f'.repeat(43)}`,
    taken: `sk_${'t'.repeat(43)}`,
  };
  const entries = [
    keyEntry('k1', apiKey),
    keyEntry('old', keys.old, { expires: '2020-01-01' }),
    keyEntry('early', keys.early, { notBefore: '2098-01-01' }),
    keyEntry('far', keys.far, { networks: ['192.0.2.0/24'] }),
  ];
  const reloadWith = (list: readonly Configuration[]) => scenario.reload({ authenticators: { keys: { keys: list } } });
  await reloadWith([...entries, keyEntry('taken', keys.taken)]);
  const taken = await accepts(t, 'before', call(`X-Api-Key: ${keys.taken}`));
  t.match(taken.record, { principal: { kind: 'api-key', credentialId: 'taken' } });
  await reloadWith(entries);

  const bad: Record<string, string> = {
    unknown: `sk_${'z'.repeat(43)}`,
    'a prefix of a good one': apiKey.slice(0, -1),
    'a good one and more': `${apiKey}k`,
    'the bare prefix': 'sk_',
    'the hash instead': hashOf(apiKey).replace('sha256:', 'sk_'),
    'taken back': keys.taken,
    expired: keys.old,
    'not yet valid': keys.early,
    'from another network': keys.far,
  };
  const reasons: Record<string, string> = {
    expired: 'expired',
    'not yet valid': 'not_yet_valid',
    'from another network': 'network',
  };
  const bodies = new Set<string>();
  for (const [name, key] of Object.entries(bad)) {
    for (const line of [`Authorization: Bearer ${key}`, `X-Api-Key: ${key}`]) {
      const reason = reasons[name] ?? 'unknown';
      const before = await counted('keys', 'refused', reason);
      const result = await attack(scenario, call(line));
      assertRefused(t, name, result, { status: 401, code: 'invalid_api_key', http });
      t.match(result.answer.headers['www-authenticate'], /^Bearer /);
      t.equal(await counted('keys', 'refused', reason), before + 1, `${name}: ${reason}`);
      const { 'x-request-id': id = '', date: _date, ...headers } = result.answer.headers;
      bodies.add(JSON.stringify([headers, result.answer.body]).replace(id, ''));
      t.notMatch(JSON.stringify(result.record), /sk_/, `${name}: no part of it is recorded`);
    }
  }
  t.equal(bodies.size, 1, 'not one of them can be told from another');
  await accepts(t, 'the good one', call(`X-Api-Key: ${apiKey}`));
});
