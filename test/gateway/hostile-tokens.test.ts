// Forged, foreign and stolen credentials at the running gateway, and an issuer that fails: rows T1 to T5, K1 and K2 of the threat table.
import { createHmac, createPublicKey } from 'node:crypto';
import t, { type Test } from 'tap';
import {
  type Attack,
  apiKey,
  assertRefused,
  attack,
  host,
  keyEntry,
  post,
  request,
  sceneYaml,
  startScene,
  toolCall,
  withKey,
} from '../support/hostile-scene.ts';
import { createFakeIssuer, createSigningKey, signToken } from '../support/issuer.ts';
import { startUpstream } from '../support/upstream.ts';

const clock = { now: Date.now() };
const scene = await startScene(t, { now: () => clock.now });
const { gateway, issuer, upstream } = scene;
const http = { method: 'POST', path: '/mcp' };
const trap = await startUpstream();
t.teardown(trap.close);

const call = (credential: string) => post(toolCall('list_dashboards'), [host, credential]);
const bearer = (token: string) => call(`Authorization: Bearer ${token}`);
const encode = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const token = (claims: Record<string, unknown> = {}, header: Record<string, unknown> = {}) =>
  issuer.token(claims, { header, now: clock.now });
const claims = () => ({
  iss: issuer.issuer,
  aud: 'https://mcp.example.com/mcp',
  sub: 'agent@clients',
  client_id: 'ai_agent_prod',
  scope: 'dashboards:read',
  iat: Math.floor(clock.now / 1000),
  exp: Math.floor(clock.now / 1000) + 300,
});
const unsigned = (header: Record<string, unknown>, signature = '') =>
  `${encode({ typ: 'at+jwt', kid: issuer.key.kid, ...header })}.${encode(claims())}.${signature}`;

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
  const { record } = await accepts(t, 'good', bearer(await token({ jti: 'jti-good' })));
  t.match(record, { principal: { kind: 'oauth', subject: 'ai-agent', credentialId: 'jti-good' } });
  const list = [
    await token({ aud: ['https://other.example', 'https://mcp.example.com/mcp'] }),
    await token({ scope: '' }),
  ];
  t.equal((await attack(scene, bearer(list[0]!))).answer.status, 200);
  t.equal((await attack(scene, bearer(list[1]!))).answer.status, 403, 'no scope is a known caller without a right');
});

t.test('forged signatures and headers that would choose the key (T1)', async (t) => {
  for (const alg of ['none', 'None', 'NONE', 'nOnE']) {
    await refusesToken(t, `${alg}, unsigned`, unsigned({ alg }), 'format', 'none');
    await refusesToken(t, `${alg}, signed with something`, unsigned({ alg }, 'AAAA'), 'algorithm');
  }
  const publicKey = createPublicKey(issuer.key.publicKey.export({ type: 'spki', format: 'pem' }));
  const secrets = {
    PEM: publicKey.export({ type: 'spki', format: 'pem' }),
    DER: publicKey.export({ type: 'spki', format: 'der' }),
    JWK: JSON.stringify(issuer.key.jwk),
    nothing: '',
  };
  for (const [name, secret] of Object.entries(secrets)) {
    const body = unsigned({ alg: 'HS256' }).slice(0, -1);
    const signature = createHmac('sha256', secret).update(body).digest('base64url');
    await refusesToken(t, `HS256 with ${name}`, `${body}.${signature}`, 'algorithm');
  }
  const mine = createSigningKey('ES256', issuer.key.kid);
  const forged = (header: Record<string, unknown>) => signToken(issuer.issuer, claims(), { key: mine, header });
  await refusesToken(t, 'another key under the same kid', await forged({}), 'signature');
  await refusesToken(t, 'an embedded key', await forged({ jwk: mine.jwk }), 'signature');
  for (const name of ['jku', 'x5u']) {
    await refusesToken(t, name, await forged({ [name]: `${trap.url}/keys` }), 'signature');
    await refusesToken(t, `${name} and kid`, await forged({ [name]: `${trap.url}/keys`, kid: 'mine' }), 'unknown_key');
  }
  await refusesToken(
    t,
    'x5c',
    await forged({ x5c: [issuer.key.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')] }),
    'signature',
  );
  await refusesToken(
    t,
    'r = s = 0',
    unsigned({ alg: 'ES256' }, encode(Buffer.alloc(64).toString('latin1'))),
    'signature',
  );
  await refusesToken(t, 'no signature', unsigned({ alg: 'ES256' }), 'format', 'none');
  await refusesToken(t, 'RS256 over an EC key', unsigned({ alg: 'RS256' }, 'AAAA'), 'unknown_key');
  for (const kid of ['../../etc/passwd', "' OR 1=1 --", '__proto__', '', `${trap.url}/key`]) {
    await refusesToken(t, `kid ${kid}`, await forged({ kid }), 'unknown_key');
  }
  for (const kid of [['a'], { a: 1 }, 1, null, 'k'.repeat(300)]) {
    await refusesToken(t, `kid ${typeof kid}`, await token({}, { kid }), 'format');
  }
  for (const header of [{ b64: false }, { zip: 'DEF' }, { cty: 'JWT' }, { enc: 'A256GCM' }]) {
    await refusesToken(t, JSON.stringify(header), await token({}, header), 'format');
  }
  await refusesToken(t, 'crit', unsigned({ alg: 'ES256', crit: ['exp'] }, 'AAAA'), 'format');
  await refusesToken(t, 'a JWE', 'eyJhbGciOiJkaXIifQ..AAAA.AAAA.AAAA', 'format', 'none');
  t.equal(trap.connections(), 0, 'no address in a token was ever visited');
});

t.test('a token has one spelling and one place (T2)', async (t) => {
  const good = await token();
  for (const scheme of ['bearer', 'BEARER']) await accepts(t, scheme, call(`Authorization: ${scheme} ${good}`));
  const [header, payload, signature] = good.split('.');
  const spellings = {
    padding: `${good}=`,
    'a fourth segment': `${good}.`,
    'two segments': `${header}.${payload}`,
    'one segment': header!,
    'plus and slash': `${header}.${payload}.${signature!.slice(0, -2)}+/`,
  };
  for (const [name, text] of Object.entries(spellings)) await refusesToken(t, name, text, 'format', 'none');
  await refusesToken(t, 'one more byte', `${good}A`, 'signature');
  const malformed = {
    'two spaces': `Authorization: Bearer  ${good}`,
    'a tab': `Authorization: Bearer\t${good}`,
    'a space inside': `Authorization: Bearer ${header} .${payload}.${signature}`,
    'two in one': `Authorization: Bearer ${good}, Bearer ${good}`,
    'a comma': `Authorization: Bearer ${good},`,
    'no token': 'Authorization: Bearer',
    nothing: 'Authorization: ',
    'JSON serialisation': `Authorization: Bearer {"payload":"${payload}"}`,
    'beyond ASCII': `Authorization: Bearer ${good}\xe9`,
    'beyond 8 KB': `Authorization: Bearer ${'a'.repeat(8200)}`,
  };
  for (const [name, line] of Object.entries(malformed)) {
    assertRefused(t, name, await attack(scene, call(line)), { status: 400, code: 'bad_request', closes: true, http });
  }
  const before = await counted('none', 'refused', 'scheme');
  for (const line of ['Basic eDp5', 'Negotiate abc', 'MAC abc', good]) {
    const result = await attack(scene, call(`Authorization: ${line}`));
    t.equal(result.answer.status, 401, line.slice(0, 12));
    t.equal(result.forwarded.length, 0);
  }
  t.equal(await counted('none', 'refused', 'scheme'), before + 4);
  for (const query of [
    `access_token=${good}`,
    `a=1&access%5Ftoken=${good}`,
    `x-api-key=${apiKey}`,
    `X-Api-Key=${apiKey}`,
  ]) {
    const result = await attack(scene, request(`GET /api/x?${query}`, [host]));
    const expected = { status: 400, code: 'bad_request', closes: true, http: { method: 'GET', path: '/api/x' } };
    assertRefused(t, query.slice(0, 20), result, expected);
  }
  const cookie = await attack(
    scene,
    post({ access_token: good }, [host, `Cookie: access_token=${good}; Authorization=Bearer`]),
  );
  assertRefused(t, 'in a cookie and in the body', cookie, { status: 401, code: 'credentials_required', http });
  t.notMatch(cookie.answer.headers['www-authenticate'], /error=/, 'nothing was presented');
});

t.test('good signatures on tokens that are not for here, not for now or not access tokens (T3)', async (t) => {
  const now = Math.floor(clock.now / 1000);
  const cases: [string, Record<string, unknown>, string, Record<string, unknown>?][] = [
    ['typ JWT', {}, 'token_type', { typ: 'JWT' }],
    ['no typ', {}, 'token_type', { typ: undefined }],
    ['an ID token', { at_hash: 'x' }, 'token_type'],
    ['another audience', { aud: 'https://mcp.example.com/mcpx' }, 'audience'],
    ['the client as audience', { aud: 'ai_agent_prod' }, 'audience'],
    ['no audience', { aud: undefined }, 'audience'],
    ['an audience that holds more than strings', { aud: ['https://mcp.example.com/mcp', 1] }, 'audience'],
    ['no end', { exp: undefined }, 'claims'],
    ['an end in words', { exp: String(now + 300) }, 'claims'],
    ['an end beyond time', { exp: 1e20 }, 'claims'],
    ['expired', { exp: now - 6 }, 'expired'],
    ['not yet valid', { nbf: now + 60 }, 'not_yet_valid'],
    ['issued in the future', { iat: now + 60 }, 'not_yet_valid'],
    ['a line break in the subject', { sub: 'agent\nadmin' }, 'claims'],
    ['an empty subject', { sub: '' }, 'claims'],
    ['a tab between scopes', { scope: 'dashboards:read\tqueries:execute' }, 'claims'],
    ['a scope that is a number', { scope: 7 }, 'claims'],
    ['bound to a certificate', { cnf: { 'x5t#S256': 'x' } }, 'sender_constraint'],
    ['bound to nothing', { cnf: null }, 'sender_constraint'],
  ];
  for (const [name, more, reason, header] of cases) await refusesToken(t, name, await token(more, header), reason);
  for (const iss of [
    `${issuer.issuer}/`,
    issuer.issuer.toUpperCase(),
    'https://evil.example',
    undefined,
    [issuer.issuer],
  ]) {
    await refusesToken(t, `issuer ${String(iss)}`, await token({ iss }), 'issuer', 'none');
  }
  await accepts(t, 'just within the tolerance', bearer(await token({ exp: now - 4 })));
  const replayed = await token({ exp: now + 60 });
  await accepts(t, 'before its end', bearer(replayed));
  clock.now += 66_000;
  await refusesToken(t, 'the same after its end, though it is in the cache', replayed, 'expired');
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
    while ((await failures()) < before + index + 1) await new Promise((resolve) => setTimeout(resolve, 5));
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
  while (issuer.requests.keys === fetched) await new Promise((resolve) => setTimeout(resolve, 5));
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
