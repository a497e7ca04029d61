// An issuer that fails or lies, floods of unknown keys and stolen keys at the running gateway: rows T4, T5, K1 and K2 of the threat table.
// Tokens that are none have a table of their own (token-table).
import t, { type Test } from 'tap';
import {
  type Attack,
  apiKey,
  assertRefused,
  attack,
  host,
  keyEntry,
  post,
  sceneYaml,
  startScene,
  toolCall,
  withKey,
} from '../support/attack.ts';
import { createFakeIssuer } from '../support/issuer.ts';
import { until } from '../support/until.ts';
import { startUpstream } from '../support/upstream.ts';

const clock = { now: Date.now() };
const scene = await startScene(t, { now: () => clock.now });
const { gateway, issuer, upstream } = scene;
const http = { method: 'POST', path: '/mcp' };

const call = (credential: string) => post(toolCall('list_dashboards'), [host, credential]);
const bearer = (token: string) => call(`Authorization: Bearer ${token}`);
const token = (claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}) =>
  issuer.token(claims, { header, now: clock.now });

/** How often this was counted so far. */
async function counted(authenticator: string, result: string, reason: string): Promise<number> {
  const label = `portcullis_authentications_total{authenticator="${authenticator}",result="${result}",reason="${reason}"}`;
  const line = (await gateway.metrics()).split('\n').find((each) => each.startsWith(label));
  return Number(line?.slice(label.length) ?? 0);
}

/** 401 with a challenge, counted under `reason`, and nobody but the issuer was asked. */
async function refusesToken(t: Test, name: string, text: string, reason: string, owner = 'corp'): Promise<void> {
  const before = await counted(owner, 'refused', reason);
  const result = await attack(scene, bearer(text));
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
  const result = await attack(scene, bytes);
  t.equal(result.answer.status, 200, name);
  t.equal(result.forwarded.length, 1, name);
  t.same(result.forwarded[0]?.header('authorization'), [], `${name}: the token goes no further`);
  return result;
}

t.test('the good token is let in, or the rest shows nothing', async (t) => {
  await accepts(t, 'good', bearer(await token()));
});

t.test('an issuer that fails or lies changes nothing: the last good keys serve on (T4)', async (t) => {
  const faults = ['down', 'error', 'huge', 'redirect', 'garbage', 'empty', 'wrong-issuer', 'not-found'] as const;
  const failures = async () =>
    Number(/portcullis_key_set_refresh_failures_total\{[^}]*\} (\d+)/.exec(await gateway.metrics())?.[1] ?? 0);
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
    for (const text of tokens) results.push(await attack(scene, bearer(text)));
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
    await attack(scene, bearer(await token({}, { kid: 'flood-again' })));
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
  const result = await attack(scene, bearer(await token()));
  assertRefused(t, 'stale', result, { status: 503, code: 'idp_unavailable', http });
  t.equal(result.answer.headers['www-authenticate'], undefined, 'the token may be good');
  t.match(
    await (await fetch(`http://127.0.0.1:${gateway.adminPort}/readyz`)).text(),
    /issuer .*: no keys yet, or they are too old/,
  );
  await accepts(t, 'a key needs no issuer', call(withKey));
  issuer.fault = undefined;
  clock.now += 10_001;
  await accepts(t, 'again', bearer(await token()));
  t.equal((await fetch(`http://127.0.0.1:${gateway.adminPort}/readyz`)).status, 200);
});

t.test('a start without the issuer: not ready, 503 for tokens, 401 without any, and recovery', async (t) => {
  const cold = await createFakeIssuer();
  cold.fault = 'down';
  const behind = await startUpstream();
  const { startTestGateway } = await import('../support/gateway.ts');
  const gateway = await startTestGateway({ yaml: sceneYaml(behind.url, cold.issuer), now: () => clock.now });
  t.teardown(async () => {
    await gateway.close();
    await Promise.all([behind.close(), cold.close()]);
  });
  const scene = { gateway, upstream: behind, issuer: cold };
  const good = await cold.token({}, { now: clock.now });
  const readiness = await fetch(`http://127.0.0.1:${gateway.adminPort}/readyz`);
  t.equal(readiness.status, 503);
  t.match(await readiness.text(), `issuer ${cold.issuer}: no keys yet`);
  const result = await attack(scene, bearer(good));
  assertRefused(t, 'cold', result, { status: 503, code: 'idp_unavailable', http });
  t.equal(result.answer.headers['retry-after'], '10');
  t.match(
    await gateway.metrics(),
    /authentications_total\{authenticator="corp",result="unavailable",reason="key_set"\} 1/,
  );
  const none = await attack(scene, post(toolCall('list_dashboards'), [host]));
  assertRefused(t, 'nothing presented', none, { status: 401, code: 'credentials_required', http });
  t.equal((await attack(scene, call(withKey))).answer.status, 200, 'keys work');
  cold.fault = undefined;
  clock.now += 10_001;
  t.equal((await attack(scene, bearer(good))).answer.status, 200);
  t.equal((await fetch(`http://127.0.0.1:${gateway.adminPort}/readyz`)).status, 200);
});

t.test('every bad key gets the same answer, and a key that was taken back is bad at once (K1, K2)', async (t) => {
  const keys = {
    old: `sk_${'o'.repeat(43)}`,
    early: `sk_${'e'.repeat(43)}`,
    far: `sk_${'f'.repeat(43)}`,
    taken: `sk_${'t'.repeat(43)}`,
  };
  const old = keyEntry('old', keys.old).replace('2099-01-01', '2020-01-01');
  const entries = [
    keyEntry('k1', apiKey),
    old,
    keyEntry('early', keys.early, ', notBefore: 2098-01-01'),
    keyEntry('far', keys.far, ', networks: [192.0.2.0/24]'),
  ];
  const yaml = sceneYaml(upstream.url, issuer.issuer);
  const withEntries = (list: readonly string[]) => yaml.replace(/keys: \[\{.*\}\]/, `keys: [${list.join(', ')}]`);
  await gateway.reload(withEntries([...entries, keyEntry('taken', keys.taken)]));
  const taken = await accepts(t, 'before', call(`X-Api-Key: ${keys.taken}`));
  t.match(taken.record, { principal: { kind: 'api-key', credentialId: 'taken' } });
  await gateway.reload(withEntries(entries));

  const bad: Record<string, string> = {
    unknown: `sk_${'z'.repeat(43)}`,
    'a prefix of a good one': apiKey.slice(0, -1),
    'a good one and more': `${apiKey}k`,
    'the bare prefix': 'sk_',
    'the hash instead': keyEntry('x', apiKey)
      .match(/sha256:([0-9a-f]+)/)![0]
      .replace('sha256:', 'sk_'),
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
      const result = await attack(scene, call(line));
      assertRefused(t, name, result, { status: 401, code: 'invalid_api_key', http });
      t.match(result.answer.headers['www-authenticate'], /^Bearer /);
      t.equal(await counted('keys', 'refused', reason), before + 1, `${name}: ${reason}`);
      const { 'x-request-id': _id, date: _date, ...headers } = result.answer.headers;
      bodies.add(JSON.stringify([headers, result.answer.body]));
      t.notMatch(JSON.stringify(result.record), /sk_/, `${name}: no part of it is recorded`);
    }
  }
  t.equal(bodies.size, 1, 'not one of them can be told from another');
  await accepts(t, 'the good one', call(`X-Api-Key: ${apiKey}`));
});
