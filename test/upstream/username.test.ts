// Templates of usernames for the upstream.
import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { calculateJwkThumbprint } from 'jose';
import t from 'tap';
import type { Principal } from '../../src/authn/caller/principal.ts';
import { parsePrivateKey } from '../../src/pem.ts';
import { assertionKeyOf, createEphemeralKeys } from '../../src/upstream/identity/assertion-key.ts';
import { assertionAlgorithms } from '../../src/upstream/identity/facts.ts';
import { parseUsername, renderUsername } from '../../src/upstream/identity/username.ts';

const principal: Principal = {
  kind: 'oauth',
  authenticator: 'corp',
  issuer: 'https://idp.example.com/',
  subject: 'auth0|7',
  clientId: 'ai_agent_prod',
  credentialId: 'token-1',
  scopes: [],
  claims: { email: 'ann@example.com', number: 7, half: 0.5, list: ['root'], yes: true, 'a.b': 'dotted' },
  expiresAt: undefined,
  confirmation: undefined,
  issuedAt: undefined,
};
const render = (template: string, of: Principal = principal) => renderUsername(parseUsername(template), of);

t.test('a template is filled from the principal and from nothing else', (t) => {
  const cases: Record<string, object> = {
    '${subject}': { username: 'auth0|7' },
    '${claims.email}': { username: 'ann@example.com' },
    'svc-${clientId}@${authenticator}': { username: 'svc-ai_agent_prod@corp' },
    '${issuer}${credentialId}': { username: 'https://idp.example.com/token-1' },
    '${claims.number}': { username: '7' },
    '${claims.a.b}': { username: 'dotted' },
    'reporting $ 5}': { username: 'reporting $ 5}' },
    '${claims.half}': { missing: 'claims.half' },
    '${claims.list}': { missing: 'claims.list' },
    '${claims.yes}': { missing: 'claims.yes' },
    '${claims.none}': { missing: 'claims.none' },
    '${claims.constructor}': { missing: 'claims.constructor' },
    '${claims.__proto__}': { missing: 'claims.__proto__' },
  };
  for (const [template, expected] of Object.entries(cases)) t.same(render(template), expected, template);
  t.same(render('x${clientId}', { ...principal, clientId: undefined }), { missing: 'clientId' });
  t.end();
});

t.test('what is no template is refused, and says why', (t) => {
  const cases: Record<string, RegExp> = {
    '${email}': /none of subject, clientId, issuer, credentialId, authenticator and claims\.name/,
    '${claims.}': /none of/,
    '${}': /none of/,
    '${subject': /without its \}/,
    '${claims.${subject}}': /without its \}/,
    '$${subject}': /already/,
    '${env:USER}': /nothing else is put in/,
    '${file:name}': /nothing else is put in/,
  };
  for (const [template, message] of Object.entries(cases))
    t.throws(() => parseUsername(template), { message }, template);
  t.end();
});

t.test('whatever is in a claim, the name holds it whole or there is no name', (t) => {
  const value = fc.oneof(fc.string({ unit: 'binary', maxLength: 300 }), fc.jsonValue());
  const holds = fc.property(value, fc.string({ unit: 'grapheme-ascii', maxLength: 20 }), (claim, around) => {
    fc.pre(!around.includes('$'));
    const rendered = render(`${around}\${claims.it}`, { ...principal, claims: { it: claim } });
    if ('missing' in rendered) return true;
    const text = typeof claim === 'number' ? String(claim) : claim;
    return rendered.username === around + text && rendered.username.isWellFormed() && !/\p{Cc}/u.test(around + text);
  });
  t.doesNotThrow(() => fc.assert(holds));
  const parses = fc.property(fc.string({ maxLength: 40 }), (template) => {
    try {
      parseUsername(template);
    } catch (error) {
      return error instanceof Error && error.message.length > 10;
    }
    return true;
  });
  t.doesNotThrow(() => fc.assert(parses));
  t.end();
});

t.test('a key is named by its thumbprint, and what is weak or of another kind is refused', async (t) => {
  const ephemeral = createEphemeralKeys();
  for (const algorithm of assertionAlgorithms) {
    const key = ephemeral(algorithm);
    t.equal(key.kid, await calculateJwkThumbprint(key.jwk as never), algorithm);
    t.equal(ephemeral(algorithm), key, 'the same again');
    const pem = Buffer.from(key.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    t.same(assertionKeyOf(parsePrivateKey(pem), algorithm).jwk, key.jwk);
    for (const other of assertionAlgorithms.filter((each) => each !== algorithm)) {
      t.throws(() => assertionKeyOf(parsePrivateKey(pem), other), {
        message: /which algorithm .* needs; make one with `openssl/,
      });
    }
  }
  const pemOf = (pair: { privateKey: ReturnType<typeof generateKeyPairSync>['privateKey'] }) =>
    Buffer.from(pair.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const short = pemOf(generateKeyPairSync('rsa', { modulusLength: 1024 }));
  t.throws(() => assertionKeyOf(parsePrivateKey(short), 'RS256'), {
    message: /an RSA key of 1024 bits; between 2048 and 8192/,
  });
  const cubic = pemOf(generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 }));
  t.throws(() => assertionKeyOf(parsePrivateKey(cubic), 'RS256'), { message: /weak public exponent/ });
  const wide = pemOf(generateKeyPairSync('ec', { namedCurve: 'P-384' }));
  t.throws(() => assertionKeyOf(parsePrivateKey(wide), 'ES256'), { message: /curve P-256/ });
  t.throws(() => assertionKeyOf(parsePrivateKey(Buffer.from('no key')), 'ES256'), { message: /no PEM private key/ });
});
