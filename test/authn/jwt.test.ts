// JWT access tokens (RFC 9068): signatures, claims, types, audiences and clocks.
import { createHmac, createPrivateKey, generateKeyPairSync, type JsonWebKey, type KeyObject, sign } from 'node:crypto';
import { CompactEncrypt, FlattenedSign } from 'jose';
import t from 'tap';
import { authenticate } from '../../src/authn/authenticate.ts';
import type { Caller } from '../../src/authn/caller/principal.ts';
import type { AuthenticatorSet } from '../../src/authn/registry.ts';
import { compileRequirements, type Requirements } from '../../src/authn/requirements.ts';
import { createAccessToken } from '../../src/authn/token/compact-jws.ts';
import { GatewayError } from '../../src/errors.ts';
import { createFakeIssuer, createSigningKey, type FakeIssuer, signToken } from '../support/issuer.ts';
import { createRuntime, createSet, requestWith, resource, type TestRuntime } from './fixture.ts';

interface Scene {
  readonly issuer: FakeIssuer;
  readonly runtime: TestRuntime;
  readonly set: AuthenticatorSet;
  readonly requirements: Requirements;
  /** The caller, or why the token was refused. */
  present(token: string): Promise<Caller | string>;
}

async function createScene(
  t: Parameters<typeof createRuntime>[0],
  config: Readonly<Record<string, unknown>> = {},
  algorithm: 'ES256' | 'RS256' = 'ES256',
): Promise<Scene> {
  const issuer = await createFakeIssuer({ algorithm });
  t.teardown(() => issuer.close());
  const runtime = createRuntime(t);
  const written = { corp: { type: 'jwt', issuer: issuer.issuer, ...config } };
  const set = createSet(written, runtime);
  const requirements = compileRequirements({ authenticate: 'corp' }, set.byName);
  return {
    issuer,
    runtime,
    set,
    requirements,
    async present(token) {
      try {
        return (await authenticate(requestWith({ token }, runtime), requirements, set))!;
      } catch (error) {
        if (!(error instanceof GatewayError)) throw error;
        return `${error.status} ${error.code} ${error.reason}`;
      }
    },
  };
}

function encode(value: unknown): string {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
}

/** Signs whatever header and payload; ECDSA as JWS wants it. */
function signRaw(header: unknown, payload: unknown, key: KeyObject, hash: string | null = 'sha256'): string {
  const input = `${encode(header)}.${encode(payload)}`;
  const signature = sign(hash, Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' });
  return `${input}.${signature.toString('base64url')}`;
}

function claimsOf(issuer: FakeIssuer, runtime: TestRuntime): Record<string, unknown> {
  const now = Math.floor(runtime.clock / 1000);
  return {
    iss: issuer.issuer,
    aud: resource,
    sub: 's',
    client_id: 'c',
    scope: 'dashboards:read',
    iat: now,
    exp: now + 60,
  };
}

t.test('a good token makes the principal, and is then known without its signature', async (t) => {
  const scene = await createScene(t, {
    claims: { tenant: 'org_id' },
    maxScopes: ['dashboards:read', 'exports:create'],
  });
  const now = Math.floor(scene.runtime.clock / 1000);
  const token = await scene.issuer.token({ jti: 'token-1', iat: now, exp: now + 60, org_id: 'acme', email: 'a@b' });
  const caller = await scene.present(token);
  t.match(caller, {
    method: 'oauth',
    scopes: ['dashboards:read'],
    authenticatedBy: ['corp'],
    certificate: undefined,
    responseHeaders: undefined,
  });
  t.same(typeof caller === 'object' && caller.principal, {
    kind: 'oauth',
    authenticator: 'corp',
    issuer: scene.issuer.issuer,
    subject: 'ai-agent',
    clientId: 'ai_agent_prod',
    credentialId: 'token-1',
    scopes: ['dashboards:read'],
    claims: { tenant: 'acme' },
    issuedAt: now * 1000,
    expiresAt: (now + 60) * 1000,
    confirmation: undefined,
  });
  const request = requestWith({ token }, scene.runtime);
  t.equal(await authenticate(request, scene.requirements, scene.set), caller, 'a cached token makes the same caller');
  t.match(scene.runtime.judgements, [
    { authenticator: 'corp', result: 'verified', cached: false },
    { authenticator: 'corp', result: 'verified', cached: true },
  ]);
  t.match(request.seen, [
    { kind: 'access-token', authenticator: 'corp', id: 'token-1', principal: { subject: 'ai-agent' } },
  ]);
  const elsewhere = { ...request, resource: 'https://mcp.example.com/other' };
  await t.rejects(authenticate(elsewhere, scene.requirements, scene.set), {
    code: 'invalid_token',
    reason: 'audience',
  });
  scene.runtime.clock = (now + 60) * 1000;
  t.type(await scene.present(token), 'object', 'within the tolerance it is verified again');
  scene.runtime.clock = (now + 65) * 1000;
  t.equal(await scene.present(token), '401 invalid_token expired');
  t.same(scene.issuer.requests, { metadata: 1, keys: 1, others: [] });
});

t.test('every algorithm of the list verifies, and no other', async (t) => {
  for (const algorithm of ['RS256', 'PS256', 'ES256', 'EdDSA', 'ES384'] as const) {
    const scene = await createScene(t);
    const key = createSigningKey(algorithm);
    scene.issuer.publish([key.jwk]);
    const token = await scene.issuer.token({}, { key });
    if (algorithm === 'ES384') t.equal(await scene.present(token), '401 invalid_token algorithm');
    else t.type(await scene.present(token), 'object', algorithm);
  }
});

t.test('forged, confused and re-encoded tokens are refused without asking anybody new', async (t) => {
  const attacker = createSigningKey('ES256');
  const listener = await createFakeIssuer();
  t.teardown(() => listener.close());
  const scene = await createScene(t, {}, 'RS256');
  const { issuer, runtime } = scene;
  const good = await issuer.token();
  t.type(await scene.present(good), 'object');
  const claims = claimsOf(issuer, runtime);
  const { kid, publicKey, privateKey, jwk } = issuer.key;
  const base = { typ: 'at+jwt', kid };
  const [header = '', payload = '', signature = ''] = good.split('.');
  const hmac = (secret: string | Buffer, alg = 'HS256') => {
    const input = `${encode({ ...base, alg })}.${encode(claims)}`;
    return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
  };
  const pem = publicKey.export({ type: 'spki', format: 'pem' }) as string;
  const weakEc = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const last = signature.at(-1)!;
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const respelt = `${signature.slice(0, -1)}${alphabet[alphabet.indexOf(last) ^ 1]}`;
  const embedded = { ...base, alg: 'ES256', kid: undefined };
  const jwe = await new CompactEncrypt(Buffer.from(JSON.stringify(claims)))
    .setProtectedHeader({ alg: 'RSA-OAEP', enc: 'A256GCM', ...base })
    .encrypt(publicKey);
  const jsonForm = await new FlattenedSign(Buffer.from(JSON.stringify(claims)))
    .setProtectedHeader({ alg: 'RS256', ...base })
    .sign(privateKey);

  const table: [string, string, string][] = [
    ...['none', 'None', 'NONE', 'nOnE'].map((alg): [string, string, string] => [
      `alg ${alg} with a signature`,
      `${encode({ ...base, alg })}.${encode(claims)}.${signature}`,
      'algorithm',
    ]),
    ['alg none without a signature', `${encode({ ...base, alg: 'none' })}.${encode(claims)}.`, 'format'],
    ['alg none and two segments', `${encode({ ...base, alg: 'none' })}.${encode(claims)}`, 'format'],
    ['HS256 with the PEM', hmac(pem), 'algorithm'],
    ['HS256 with the PEM behind a space', hmac(` ${pem}`), 'algorithm'],
    ['HS256 with the DER', hmac(publicKey.export({ type: 'spki', format: 'der' })), 'algorithm'],
    ['HS256 with the JWK', hmac(JSON.stringify(jwk)), 'algorithm'],
    ['HS256 with nothing', hmac(''), 'algorithm'],
    ['an HMAC that says RS256', hmac(pem, 'RS256'), 'signature'],
    ['ES256 with the kid of an RSA key', signRaw({ ...base, alg: 'ES256' }, claims, weakEc), 'unknown_key'],
    [
      'PS256 header over an RS256 signature',
      `${encode({ ...base, alg: 'PS256' })}.${payload}.${signature}`,
      'unknown_key',
    ],
    ['lower-case alg', signRaw({ ...base, alg: 'rs256' }, claims, privateKey), 'algorithm'],
    ['alg as an array', signRaw({ ...base, alg: ['RS256'] }, claims, privateKey), 'algorithm'],
    ['no alg', signRaw(base, claims, privateKey), 'algorithm'],
    ['a key of another', await signToken(issuer.issuer, {}, { key: { ...attacker, kid } }), 'unknown_key'],
    ['an embedded jwk', signRaw({ ...embedded, jwk: attacker.jwk }, claims, attacker.privateKey), 'unknown_key'],
    [
      'a jku',
      signRaw({ ...embedded, jku: listener.jwksUri, kid: attacker.kid }, claims, attacker.privateKey),
      'unknown_key',
    ],
    ['an x5u', signRaw({ ...embedded, x5u: listener.jwksUri }, claims, attacker.privateKey), 'unknown_key'],
    ['an x5c', signRaw({ ...embedded, x5c: ['MIIB'] }, claims, attacker.privateKey), 'unknown_key'],
    [
      'a kid that is a path',
      signRaw({ ...base, alg: 'RS256', kid: '../../dev/null' }, claims, privateKey),
      'unknown_key',
    ],
    ['a kid that is SQL', signRaw({ ...base, alg: 'RS256', kid: "' OR 1=1 --" }, claims, privateKey), 'unknown_key'],
    [
      'a kid that is a member of objects',
      signRaw({ ...base, alg: 'RS256', kid: '__proto__' }, claims, privateKey),
      'unknown_key',
    ],
    ['an empty kid', signRaw({ ...base, alg: 'RS256', kid: '' }, claims, privateKey), 'unknown_key'],
    ['an endless kid', signRaw({ ...base, alg: 'RS256', kid: 'k'.repeat(4000) }, claims, privateKey), 'format'],
    ['a kid in an array', signRaw({ ...base, alg: 'RS256', kid: [kid] }, claims, privateKey), 'format'],
    ['a kid that is null', signRaw({ ...base, alg: 'RS256', kid: null }, claims, privateKey), 'format'],
    ['crit', signRaw({ ...base, alg: 'RS256', crit: ['exp'], exp: 1 }, claims, privateKey), 'format'],
    ['an empty crit', signRaw({ ...base, alg: 'RS256', crit: [] }, claims, privateKey), 'format'],
    ['b64 false', signRaw({ ...base, alg: 'RS256', b64: false, crit: ['b64'] }, claims, privateKey), 'format'],
    ['b64 true', signRaw({ ...base, alg: 'RS256', b64: true }, claims, privateKey), 'format'],
    ['zip', signRaw({ ...base, alg: 'RS256', zip: 'DEF' }, claims, privateKey), 'format'],
    ['cty JWT', signRaw({ ...base, alg: 'RS256', cty: 'JWT' }, claims, privateKey), 'format'],
    ['a nested token', signRaw({ ...base, alg: 'RS256' }, good, privateKey), 'format'],
    ['a JWE', jwe, 'format'],
    ['the JSON serialisation', JSON.stringify(jsonForm), 'format'],
    ['a payload that is an array', signRaw({ ...base, alg: 'RS256' }, [claims], privateKey), 'format'],
    ['a payload that is null', signRaw({ ...base, alg: 'RS256' }, 'null', privateKey), 'format'],
    [
      'a payload with a byte order mark',
      signRaw({ ...base, alg: 'RS256' }, `\ufeff${JSON.stringify(claims)}`, privateKey),
      'format',
    ],
    ['a header that is no JSON', signRaw('{', claims, privateKey), 'format'],
    ['an altered payload', `${header}.${encode({ ...claims, scope: 'admin' })}.${signature}`, 'signature'],
    ['an altered signature', `${header}.${payload}.${'A'.repeat(signature.length)}`, 'signature'],
    ['a short signature', `${header}.${payload}.AAAA`, 'signature'],
    ['another spelling of the same signature', `${header}.${payload}.${respelt}`, 'format'],
    ['padding', `${header}.${payload}.${signature}==`, 'format'],
    ['padding in the payload', `${header}.${payload}=.${signature}`, 'format'],
    ['a space inside', `${header}. ${payload}.${signature}`, 'format'],
    ['a line feed at the end', `${good}\n`, 'format'],
    ['the alphabet of plain Base64', good.replace(/[A-Za-z]/, '+'), 'format'],
    ['a fourth segment', `${good}.AAAA`, 'format'],
    ['an empty segment', `${header}..${signature}`, 'format'],
    ['an opaque value', 'opaque-token', 'format'],
  ];
  const authenticator = scene.set.byIssuer.get(issuer.issuer)!;
  for (const [what, token, reason] of table) {
    const inHeader = /^[\w.~+/-]+=*$/.test(token) ? `401 invalid_token ${reason}` : '400 bad_request format';
    t.equal(await scene.present(token), inHeader, what);
    const verification = await authenticator.verify(createAccessToken(token), requestWith({ token }, runtime));
    t.match(verification, { verified: false, reason }, `${what}, however it got there`);
  }
  t.same(listener.requests, { metadata: 0, keys: 0, others: [] }, 'no address in a token was asked');
  t.equal(issuer.requests.others.length, 0);
  t.equal(issuer.requests.keys, 1, 'unknown keys within the cooldown ask nobody');
  t.equal(createPrivateKey(privateKey.export({ type: 'pkcs8', format: 'pem' })).type, 'private');
});

t.test('ECDSA signatures of zeros, in DER form or of another curve do not verify', async (t) => {
  const scene = await createScene(t);
  const { issuer, runtime } = scene;
  const header = { alg: 'ES256', typ: 'at+jwt', kid: issuer.key.kid };
  const input = `${encode(header)}.${encode(claimsOf(issuer, runtime))}`;
  const der = sign('sha256', Buffer.from(input), issuer.key.privateKey).toString('base64url');
  const order = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex');
  const cases: [string, string, RegExp][] = [
    ['r = s = 0', Buffer.alloc(64).toString('base64url'), /signature/],
    ['r = s = n', Buffer.concat([order, order]).toString('base64url'), /signature/],
    ['DER', der, /signature/],
    ['P-384', signRaw({}, {}, createSigningKey('ES384').privateKey, 'sha384').split('.')[2]!, /signature/],
  ];
  for (const [what, signature, expected] of cases)
    t.match(await scene.present(`${input}.${signature}`), expected, what);
});

t.test('what a token must say, and what it makes of the principal', async (t) => {
  const scene = await createScene(t);
  const now = Math.floor(scene.runtime.clock / 1000);
  scene.runtime.clock = now * 1000;
  const { issuer } = scene.issuer;
  const audience = resource;

  const refused: [string, Record<string, unknown>, string][] = [
    ['the issuer with a slash', { iss: `${issuer}/` }, 'issuer'],
    ['the issuer in capitals', { iss: issuer.toUpperCase() }, 'issuer'],
    ['another issuer', { iss: 'https://idp.example.org/' }, 'issuer'],
    ['no issuer', { iss: undefined }, 'issuer'],
    ['an array of issuers', { iss: [issuer] }, 'issuer'],
    ['no audience', { aud: undefined }, 'audience'],
    ['another audience', { aud: 'https://mcp.example.com/other' }, 'audience'],
    ['the audience as a prefix', { aud: `${audience}/x` }, 'audience'],
    ['the audience with a slash', { aud: `${audience}/` }, 'audience'],
    ['the audience in capitals', { aud: audience.toUpperCase() }, 'audience'],
    ['the client as audience, as in an ID token', { aud: 'ai_agent_prod', nonce: 'n' }, 'audience'],
    ['no audience in the array', { aud: [] }, 'audience'],
    ['numbers among the audiences', { aud: [audience, 1] }, 'audience'],
    ['an object as audience', { aud: { [audience]: true } }, 'audience'],
    ['no exp', { exp: undefined }, 'claims'],
    ['exp as text', { exp: String(now + 60) }, 'claims'],
    ['exp null', { exp: null }, 'claims'],
    ['exp beyond all time', { exp: 1e20 }, 'claims'],
    ['exp below zero', { exp: -1 }, 'claims'],
    ['exp at the end of the tolerance', { exp: now - 5 }, 'expired'],
    ['nbf beyond the tolerance', { nbf: now + 6 }, 'not_yet_valid'],
    ['nbf as text', { nbf: 'now' }, 'claims'],
    ['iat beyond the tolerance', { iat: now + 6 }, 'not_yet_valid'],
    ['iat as text', { iat: String(now) }, 'claims'],
    ['a confirmation', { cnf: { jkt: 'x' } }, 'sender_constraint'],
    ['an empty confirmation', { cnf: null }, 'sender_constraint'],
    ['the hash of an access token', { at_hash: 'x' }, 'token_type'],
    ['neither subject nor client', { sub: undefined, client_id: undefined }, 'claims'],
    ['a number as subject', { sub: 7 }, 'claims'],
    ['an empty subject', { sub: '' }, 'claims'],
    ['a subject with a line feed', { sub: 'alice\nadmin' }, 'claims'],
    ['a subject with a NUL', { sub: 'alice\0' }, 'claims'],
    ['a subject with a next-line control', { sub: 'alice\u0085' }, 'claims'],
    ['a subject with half a character', { sub: '\ud800' }, 'claims'],
    ['a subject without end', { sub: 's'.repeat(513) }, 'claims'],
    ['a client with a tab', { client_id: 'a\tb' }, 'claims'],
    ['a client that is null', { client_id: null }, 'claims'],
    ['a client in an array', { client_id: ['c'] }, 'claims'],
    ['a number as jti', { jti: 7 }, 'claims'],
    ['scopes with a tab', { scope: 'a\tb' }, 'claims'],
    ['a scope with a quote', { scope: 'a"b' }, 'claims'],
    ['a number among the scopes', { scp: ['a', 1] }, 'claims'],
    ['a space inside an array', { scp: ['a b'] }, 'claims'],
    ['a million of them, in linear time', { scp: [`a${' '.repeat(1_000_000)}b`] }, 'claims'],
    ['scopes as an object', { permissions: { a: true } }, 'claims'],
  ];
  for (const [what, claims, reason] of refused) {
    t.equal(await scene.present(await scene.issuer.token(claims)), `401 invalid_token ${reason}`, what);
  }

  const accepted: [string, Record<string, unknown>, unknown][] = [
    ['one of several audiences', { aud: ['other', audience] }, {}],
    ['exp within the tolerance', { exp: now - 4 }, {}],
    ['nbf and iat within the tolerance', { nbf: now + 5, iat: now + 5 }, {}],
    ['nbf zero', { nbf: 0 }, {}],
    ['no iat', { iat: undefined }, {}],
    ['no subject', { sub: undefined }, { principal: { subject: 'ai_agent_prod', clientId: 'ai_agent_prod' } }],
    ['azp instead of client_id', { client_id: undefined, azp: 'z' }, { principal: { clientId: 'z' } }],
    ['client_id before azp', { azp: 'z' }, { principal: { clientId: 'ai_agent_prod' } }],
    ['no client', { client_id: undefined }, { principal: { subject: 'ai-agent', clientId: undefined } }],
    ['no scope', { scope: undefined }, { scopes: [] }],
    ['empty scope', { scope: '' }, { scopes: [] }],
    ['a scope of spaces', { scope: '  ' }, { scopes: [] }],
    ['scope with stray spaces', { scope: '  a   b ' }, { scopes: ['a', 'b'] }],
    ['scopes that are null', { scope: null }, { scopes: [] }],
    ['a list with stray spaces, empty text and null', { scp: [' c', '', null] }, { scopes: ['a', 'c'] }],
    ['scopes of all claims', { scope: 'a b', scp: ['b', 'c'], permissions: ['d'] }, { scopes: ['a', 'b', 'c', 'd'] }],
    ['scp as text', { scope: undefined, scp: 'a b' }, { scopes: ['a', 'b'] }],
    [
      'an email that is not looked at',
      { email: 'admin@example.com' },
      { principal: { subject: 'ai-agent', claims: {} } },
    ],
  ];
  for (const [what, claims, expected] of accepted) {
    const caller = await scene.present(await scene.issuer.token(claims));
    t.type(caller, 'object', what);
    t.match(caller, expected, what);
  }
});

t.test('typ must be one of the configured types, with or without application/ and in any case', async (t) => {
  const scene = await createScene(t);
  for (const typ of ['at+jwt', 'AT+JWT', 'application/at+jwt', 'Application/AT+jwt']) {
    t.type(await scene.present(await scene.issuer.token({}, { header: { typ } })), 'object', typ);
  }
  for (const typ of [
    undefined,
    'JWT',
    'jwt',
    'text/at+jwt',
    'at+jwt;v=1',
    ' at+jwt',
    'dpop+jwt',
    'logout+jwt',
    ['at+jwt'],
    null,
    '',
  ]) {
    const token = await scene.issuer.token({}, { header: { typ } });
    t.equal(await scene.present(token), '401 invalid_token token_type', JSON.stringify(typ) ?? 'none');
  }
  const lenient = await createScene(t, { tokenTypes: ['at+jwt', 'JWT'] });
  t.type(await lenient.present(await lenient.issuer.token({}, { header: { typ: 'JWT' } })), 'object');
  t.equal(
    await lenient.present(await lenient.issuer.token({}, { header: { typ: undefined } })),
    '401 invalid_token token_type',
  );
});

t.test('configured audiences replace the resource of the route', async (t) => {
  const scene = await createScene(t, { audience: ['api://one', 'api://two'] });
  t.type(await scene.present(await scene.issuer.token({ aud: 'api://two' })), 'object');
  t.equal(await scene.present(await scene.issuer.token()), '401 invalid_token audience');
});

t.test("an issuer's key is good for that issuer only", async (t) => {
  const one = await createFakeIssuer();
  const two = await createFakeIssuer();
  t.teardown(() => Promise.all([one.close(), two.close()]));
  const runtime = createRuntime(t);
  const written = { one: { type: 'jwt', issuer: one.issuer }, two: { type: 'jwt', issuer: two.issuer } };
  const set = createSet(written, runtime);
  const requirements = compileRequirements({ authenticate: { anyOf: ['one', 'two'] } }, set.byName);
  const present = (token: string) => authenticate(requestWith({ token }, runtime), requirements, set);
  t.match(await present(await one.token()), { principal: { authenticator: 'one', issuer: one.issuer } });
  t.match(await present(await two.token()), { principal: { authenticator: 'two', issuer: two.issuer } });
  const crossed = await signToken(one.issuer, {}, { key: two.key });
  await t.rejects(present(crossed), { code: 'invalid_token', reason: 'unknown_key' });
  two.publish([{ ...two.key.jwk, kid: one.key.kid }]);
  const sameKid = await signToken(one.issuer, {}, { key: { ...two.key, kid: one.key.kid } });
  await t.rejects(present(sameKid), { code: 'invalid_token', reason: 'signature' });
});

t.test('the last of two equal members counts, for the owner and for the judgement', async (t) => {
  const scene = await createScene(t);
  const { issuer, runtime } = scene;
  const claims = JSON.stringify(claimsOf(issuer, runtime));
  const twice = claims.replace('{', '{"iss":"https://other.example/","aud":"x",');
  const header = { alg: 'ES256', typ: 'at+jwt', kid: issuer.key.kid };
  t.type(await scene.present(signRaw(header, twice, issuer.key.privateKey)), 'object');
  const reversed = claims.replace(/}$/, ',"aud":"x"}');
  t.equal(await scene.present(signRaw(header, reversed, issuer.key.privateKey)), '401 invalid_token audience');
});

t.test('claims that look like members of objects change nothing', async (t) => {
  const scene = await createScene(t, { claims: { tenant: '__proto__', groups: 'constructor' } });
  const { issuer, runtime } = scene;
  const header = { alg: 'ES256', typ: 'at+jwt', kid: issuer.key.kid };
  const plain = await scene.present(await issuer.token());
  t.same(typeof plain === 'object' && plain.principal.claims, {});
  const text = JSON.stringify(claimsOf(issuer, runtime)).replace('{', '{"__proto__":{"polluted":true},');
  t.type(await scene.present(signRaw(header, text, issuer.key.privateKey)), 'object');
  t.notOk('polluted' in {});
});

t.test('weak, private and foreign keys of an issuer verify nothing', async (t) => {
  const strong = createSigningKey('RS256', 'strong');
  const weakRsa = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const oddExponent = generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 });
  const p256 = createSigningKey('ES256');
  const secp256k1 = generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
  const jwkOf = (key: KeyObject): JsonWebKey => key.export({ format: 'jwk' });
  const table: [string, Record<string, unknown>, KeyObject, string][] = [
    ['RSA with 1024 bits', jwkOf(weakRsa.publicKey), weakRsa.privateKey, 'RS256'],
    ['e = 3', jwkOf(oddExponent.publicKey), oddExponent.privateKey, 'RS256'],
    ['e = 1', { ...jwkOf(strong.publicKey), e: 'AQ' }, strong.privateKey, 'RS256'],
    ['e even', { ...jwkOf(strong.publicKey), e: 'AQAA' }, strong.privateKey, 'RS256'],
    ['a private key', { ...jwkOf(p256.privateKey) }, p256.privateKey, 'ES256'],
    ['a key for encryption', { ...jwkOf(p256.publicKey), use: 'enc' }, p256.privateKey, 'ES256'],
    ['a key with other operations', { ...jwkOf(p256.publicKey), key_ops: ['encrypt'] }, p256.privateKey, 'ES256'],
    ['a key of another algorithm', { ...jwkOf(strong.publicKey), alg: 'RSA-OAEP' }, strong.privateKey, 'RS256'],
    ['a key restricted to PS256', { ...jwkOf(strong.publicKey), alg: 'PS256' }, strong.privateKey, 'RS256'],
    ['secp256k1', jwkOf(secp256k1.publicKey), secp256k1.privateKey, 'ES256'],
    ['a point off the curve', { ...jwkOf(p256.publicKey), y: jwkOf(p256.publicKey).x }, p256.privateKey, 'ES256'],
    ['an unknown type', { kty: 'AKP', alg: 'ML-DSA-44', pub: 'AA' }, p256.privateKey, 'ES256'],
    ['a symmetric key', { kty: 'oct', k: 'AAAA' }, p256.privateKey, 'ES256'],
    ['a kid that is a number', { ...jwkOf(p256.publicKey), kid: 7 }, p256.privateKey, 'ES256'],
  ];
  for (const [what, jwk, privateKey, alg] of table) {
    const scene = await createScene(t);
    scene.issuer.publish([{ kid: 'weak', ...jwk }, strong.jwk]);
    const header = { alg, typ: 'at+jwt', kid: 'weak' };
    const token = signRaw(header, claimsOf(scene.issuer, scene.runtime), privateKey);
    t.equal(await scene.present(token), '401 invalid_token unknown_key', what);
    t.type(
      await scene.present(await scene.issuer.token({}, { key: strong })),
      'object',
      'the good one beside it serves',
    );
  }
});

t.test('keys that share a kid are refused, the same key under two algorithms is not', async (t) => {
  const scene = await createScene(t);
  const [one, two, other] = [
    createSigningKey('ES256', 'same'),
    createSigningKey('ES256', 'same'),
    createSigningKey('ES256'),
  ];
  scene.issuer.publish([one.jwk, two.jwk, other.jwk]);
  for (const key of [one, two]) {
    t.equal(await scene.present(await scene.issuer.token({}, { key })), '401 invalid_token unknown_key');
  }
  t.type(await scene.present(await scene.issuer.token({}, { key: other })), 'object');
  const rsa = createSigningKey('RS256', 'both');
  const second = await createScene(t);
  second.issuer.publish([rsa.jwk, { ...rsa.jwk, alg: 'PS256' }]);
  for (const algorithm of ['RS256', 'PS256'] as const) {
    t.type(await second.present(await second.issuer.token({}, { key: { ...rsa, algorithm } })), 'object', algorithm);
  }
});

t.test('without a kid there must be one key that fits', async (t) => {
  const scene = await createScene(t);
  const rsa = createSigningKey('RS256');
  scene.issuer.publish([scene.issuer.key.jwk, rsa.jwk]);
  t.type(await scene.present(await scene.issuer.token({}, { header: { kid: undefined } })), 'object');
  const second = await createScene(t);
  second.issuer.publish([second.issuer.key.jwk, createSigningKey('ES256').jwk]);
  t.equal(
    await second.present(await second.issuer.token({}, { header: { kid: undefined } })),
    '401 invalid_token unknown_key',
  );
});
