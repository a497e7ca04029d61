// DPoP proofs apart from the gateway: what is remembered and what happens when no more can be, and nonces from the wrong hands.
import { constants, createPrivateKey, generateKeyPairSync, hash, sign } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { authenticate } from '../../src/authn/authenticate.ts';
import { compileRequirements } from '../../src/authn/requirements.ts';
import {
  createProofMemory,
  createProofVerifier,
  type ProofKeyCache,
  type ProofRequest,
} from '../../src/authn/token/binding/dpop.ts';
import { createNonceMint } from '../../src/authn/token/binding/dpop-nonce.ts';
import { createSignatureVerifier } from '../../src/authn/token/binding/proof-signature.ts';
import type { SignatureAlgorithm } from '../../src/authn/token/jwk.ts';
import { GatewayError } from '../../src/errors.ts';
import { createExpiringSet } from '../../src/oauth/expiring-set.ts';
import { createSharedCache } from '../../src/oauth/shared-cache.ts';
import { createLocalState } from '../../src/state/local-state.ts';
import { createDpopKey, type DpopKey } from '../support/dpop.ts';
import { createFakeIssuer } from '../support/issuer.ts';
import { createRuntime, createSet, requestWith, resource } from './fixture.ts';

t.test('a proof is fresh once while it is remembered, and no longer than that', (t) => {
  const store = createExpiringSet({ entries: 3, entriesPerCaller: 2 });
  t.equal(store.add('a', '1', 100, 0), 'added');
  t.equal(store.add('a', '1', 100, 99), 'present');
  t.equal(store.add('a', '2', 100, 50), 'added');
  t.equal(store.add('a', '3', 100, 50), 'full', 'one caller has its share');
  t.equal(store.add('b', '4', 100, 50), 'added', 'which leaves room for others');
  t.equal(store.add('c', '5', 100, 50), 'full');
  t.equal(store.add('c', '4', 100, 50), 'present', 'what is known is said also of a full store');
  t.equal(store.add('c', '5', 100, 100), 'added', 'the oldest is over');
  t.equal(store.add('a', '1', 100, 150), 'added');
  t.end();
});

t.test('whatever comes when, no id is fresh twice within its time and the store stays within its bounds', (t) => {
  const arrivals = fc.array(
    fc.record({
      key: fc.integer({ min: 0, max: 2 }),
      id: fc.integer({ min: 0, max: 9 }),
      after: fc.integer({ min: 0, max: 40 }),
    }),
    { maxLength: 60 },
  );
  fc.assert(
    fc.property(arrivals, (all) => {
      const store = createExpiringSet({ entries: 4, entriesPerCaller: 3 });
      const freshUntil = new Map<string, number>();
      let now = 0;
      for (const { key, id, after } of all) {
        now += after;
        const known = now < (freshUntil.get(`${id}`) ?? 0);
        const live = [...freshUntil.values()].filter((until) => now < until).length;
        const answer = store.add(`${key}`, `${id}`, 100, now);
        if (answer === 'added') freshUntil.set(`${id}`, now + 100);
        if (known ? answer !== 'present' : answer === 'present' || (answer === 'added' && live >= 4)) return false;
      }
      return true;
    }),
  );
  t.end();
});

t.test('when no more proofs can be remembered the answer is 503, and the token counts as not verifiable', async (t) => {
  const issuer = await createFakeIssuer();
  t.teardown(() => issuer.close());
  const runtime = {
    ...createRuntime(t),
    proofMemory: createProofMemory(createLocalState({ now: Date.now, claims: { entries: 1, entriesPerCaller: 1 } })),
  };
  const written = { corp: { type: 'jwt', issuer: issuer.issuer } };
  const set = createSet(written, runtime);
  const requirements = compileRequirements({ authenticate: 'corp' }, set.byName);
  const key = await createDpopKey();
  const token = await issuer.token(key.binding);
  const present = async () => {
    const proof = await key.proof({ token, method: 'POST', url: resource });
    return authenticate(requestWith({ token, scheme: 'DPoP', proof }, runtime), requirements, set);
  };
  t.match(await present(), { principal: { confirmation: { method: 'dpop' } }, senderConstrained: true });
  const error = await present().catch((thrown: unknown) => thrown);
  t.type(error, GatewayError);
  t.match(error, { code: 'overloaded', status: 503, headers: { 'retry-after': '10' } });
  t.match(error, { reason: 'replay_store', detail: { limit: 'replay_store' } });
  t.match(runtime.judgements.at(-1), { authenticator: 'corp', result: 'unavailable', reason: 'replay_store' });
});

t.test('a nonce is good for its key and its time, and nothing else is one', async (t) => {
  const now = Date.UTC(2026, 10, 25);
  const [mint, other] = [1, 2].map(() => createNonceMint(createLocalState({ now: () => now })));
  const nonce = await mint!.current(now);
  t.equal(await mint!.verify(nonce, now), 'current');
  t.equal(await mint!.verify(nonce, now + 60_000), 'stale');
  t.equal(await mint!.verify(nonce, now + 299_000), 'stale');
  t.equal(await mint!.verify(nonce, now + 300_000), 'refused');
  t.equal(await mint!.verify(nonce, now - 4000), 'current', 'of a clock that is a little ahead');
  t.equal(await mint!.verify(nonce, now - 60_000), 'refused', 'from the future');
  t.equal(await other!.verify(nonce, now), 'refused', 'of another process');
  await fc.assert(
    fc.asyncProperty(
      fc.string({ maxLength: 40 }),
      async (text) => text === nonce || (await mint!.verify(text, now)) === 'refused',
    ),
  );
});

t.test(
  'a nonce goes on over the end of the hour, of which its key is, and is good for all who share the state',
  async (t) => {
    let now = Date.UTC(2026, 10, 25, 9, 59, 30);
    const state = createLocalState({ now: () => now });
    const [one, another] = [createNonceMint(state), createNonceMint(state)];
    const nonce = await one.current(now);
    now += 60_000;
    t.equal(await another.verify(nonce, now), 'stale');
    t.equal(await one.verify(await another.current(now), now), 'current');
    t.equal(await one.verify(nonce, now), 'stale');
  },
);

const token = 'an-access-token';
const now = Date.UTC(2026, 10, 25);
const signed = (key: DpopKey, options: object = {}) =>
  key.proof({ token, method: 'POST', url: resource, now, ...options });

/** A verifier of proofs beside `token`, which is bound to `of`. */
function createJudge(keys?: ProofKeyCache) {
  const algorithms: SignatureAlgorithm[] = ['ES256', 'ES384', 'ES512', 'EdDSA', 'RS256', 'PS256', 'PS512'];
  const config = { algorithms, maxAge: 60_000, nonce: 'off' } as const;
  const verifier = createProofVerifier(config, createProofMemory(createLocalState({ now: () => now })), keys)!;
  return async (proof: string, of: DpopKey, caller = 'a') => {
    const request: ProofRequest = {
      proof,
      ath: hash('sha256', token, 'base64url'),
      thumbprint: of.binding.cnf.jkt,
      caller,
      method: 'POST',
      url: resource,
      now,
    };
    const verification = await verifier.verify(request);
    return verification.proven ? 'proven' : verification.reason;
  };
}

const signatureOf = (proof: string) => Buffer.from(proof.split('.')[2]!, 'base64url');
const resigned = (proof: string, signature: Buffer) =>
  `${proof.slice(0, proof.lastIndexOf('.'))}.${signature.toString('base64url')}`;
/** Signed by the same key with other parameters of the algorithm. */
const signedWith = (proof: string, { privateJwk }: DpopKey, digest: string, parameters: object = {}) => {
  const key = createPrivateKey({ key: privateJwk as never, format: 'jwk' });
  return resigned(proof, sign(digest, Buffer.from(proof.slice(0, proof.lastIndexOf('.'))), { key, ...parameters }));
};

t.test('a second proof with the same header is verified as the first', async (t) => {
  const judge = createJudge();
  const [key, other] = [await createDpopKey(), await createDpopKey()];
  const header = { jwk: { ...key.publicJwk, kid: 'one' } };
  const first = await signed(key, { header });
  t.equal(await judge(first, key), 'proven');
  const second = await signed(key, { header });
  t.equal(second.split('.')[0], first.split('.')[0]);
  const [head, claims] = second.split('.') as [string, string];
  const table: [string, string, string][] = [
    ['a wrong signature', resigned(second, signatureOf(first)), 'proof_signature'],
    ["another key's signature", await signed(key, { header, signer: other.privateKey }), 'proof_signature'],
    ['a signature of zeros', resigned(second, Buffer.alloc(64)), 'proof_signature'],
    ['a signature in DER', signedWith(second, key, 'sha256'), 'proof_signature'],
    [
      'a signature that is too long',
      resigned(second, Buffer.concat([signatureOf(second), Buffer.alloc(1)])),
      'proof_signature',
    ],
    ['no signature', `${head}.${claims}.`, 'proof_format'],
    ['a padded signature', `${second}=`, 'proof_format'],
    ['a fourth segment', `${second}.x`, 'proof_format'],
    ['claims that are no JSON', `${head}.${Buffer.from('{').toString('base64url')}.AAAA`, 'proof_format'],
    [
      'claims that are no UTF-8',
      `${head}.${Buffer.from('{"jti":"\xff"}', 'latin1').toString('base64url')}.AAAA`,
      'proof_format',
    ],
    [
      'another algorithm of the list in a like header',
      await signed(key, { header: { ...header, alg: 'PS256' }, signer: (await createDpopKey('PS256')).privateKey }),
      'proof_algorithm',
    ],
    [
      'no algorithm in a like header',
      `${Buffer.from(JSON.stringify({ alg: 'none', typ: 'dpop+jwt', ...header })).toString('base64url')}.${claims}.AAAA`,
      'proof_algorithm',
    ],
    ['another type in a like header', await signed(key, { header: { ...header, typ: 'jwt' } }), 'proof_format'],
    [
      'another key with the same kid',
      await signed(other, { header: { jwk: { ...other.publicJwk, kid: 'one' } } }),
      'proof_key',
    ],
    ['another method', await signed(key, { header, method: 'GET' }), 'proof_request'],
    ['another token', await signed(key, { header, token: 'another' }), 'proof_token'],
    ['another time', await signed(key, { header, now: now - 66_000 }), 'proof_time'],
    ['the first again', first, 'proof_replayed'],
  ];
  for (const [what, proof, reason] of table) t.equal(await judge(proof, key), reason, what);
  t.equal(await judge(second, other), 'proof_key', 'beside a token of another key');
  t.equal(await judge(second, key), 'proven', 'none of them used it up');
});

t.test('ECDSA signatures verify whose numbers begin with a zero byte, or with a high bit', async (t) => {
  for (const [algorithm, namedCurve, digest, numberBytes] of [
    ['ES256', 'P-256', 'sha256', 32],
    ['ES512', 'P-521', 'sha512', 66],
  ] as const) {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve });
    const isSigned = createSignatureVerifier(publicKey, algorithm);
    const missing = new Set(['first 0', 'second 0', 'first high', 'second high']);
    // Of P-521 the highest byte is 0 or 1.
    const highBit = numberBytes === 66 ? 1 : 0x80;
    for (let signed = 0; missing.size > 0 && signed < 20_000; signed++) {
      const message = Buffer.from(String(signed));
      const signature = sign(digest, message, { key: privateKey, dsaEncoding: 'ieee-p1363' });
      const found = ['first', 'second'].flatMap((name, index) => {
        const byte = signature[index * numberBytes]!;
        return byte === 0 ? [`${name} 0`] : byte >= highBit ? [`${name} high`] : [];
      });
      if (!found.some((kind) => missing.delete(kind))) continue;
      t.equal(await isSigned(message, signature), true, `${algorithm}: ${found}`);
      t.equal(await isSigned(Buffer.from('another'), signature), false);
    }
    t.same([...missing], [], algorithm);
  }
});

t.test('both proofs of a header are verified by their algorithm, and by no other', async (t) => {
  const judge = createJudge();
  const pss = (saltLength: number) => ({ padding: constants.RSA_PKCS1_PSS_PADDING, saltLength });
  const others: Record<string, (proof: string, key: DpopKey) => string> = {
    ES256: (proof, key) => signedWith(proof, key, 'sha384', { dsaEncoding: 'ieee-p1363' }),
    ES384: (proof, key) => signedWith(proof, key, 'sha384'),
    ES512: (proof, key) => signedWith(proof, key, 'sha512'),
    EdDSA: (proof) => resigned(proof, Buffer.alloc(64)),
    Ed25519: (proof) => resigned(proof, Buffer.alloc(64, 255)),
    RS256: (proof, key) => signedWith(proof, key, 'sha256', pss(32)),
    PS256: (proof, key) => signedWith(proof, key, 'sha256', pss(20)),
    PS512: (proof, key) => signedWith(proof, key, 'sha512'),
  };
  for (const [algorithm, forge] of Object.entries(others)) {
    const key = await createDpopKey(algorithm);
    for (const which of ['first', 'second']) {
      const proof = await signed(key);
      t.equal(await judge(forge(proof, key), key), 'proof_signature', `${algorithm}, ${which}, forged`);
      const flipped = signatureOf(proof);
      flipped[flipped.length - 1]! ^= 1;
      t.equal(await judge(resigned(proof, flipped), key), 'proof_signature', `${algorithm}, ${which}, one bit`);
      t.equal(await judge(proof, key), 'proven', `${algorithm}, ${which}`);
    }
  }
});

t.test(
  'many keys of one caller push out its own, headers of refused proofs are not kept, nor very long ones',
  async (t) => {
    const keys: ProofKeyCache = createSharedCache({ entries: 3, entriesPerCaller: 2, bytes: 100_000 });
    const judge = createJudge(keys);
    const kept = (proofs: string[]) => proofs.map((proof) => keys.get(proof.split('.')[0]!) !== undefined);
    const own = await Promise.all([1, 2, 3, 4].map(() => createDpopKey()));
    const proofs = await Promise.all(own.map((key) => signed(key)));
    t.equal(await judge(resigned(proofs[0]!, Buffer.alloc(64)), own[0]!), 'proof_signature');
    t.equal(await judge(proofs[0]!, own[1]!), 'proof_key');
    t.same(kept(proofs), [false, false, false, false], 'refused');
    t.equal(await judge(proofs[3]!, own[3]!, 'b'), 'proven');
    for (const index of [0, 1, 2]) t.equal(await judge(proofs[index]!, own[index]!), 'proven');
    t.same(kept(proofs), [false, true, true, true], 'the oldest of the caller with three');
    t.equal(await judge(await signed(own[0]!), own[0]!), 'proven', 'which is read again');
    const long = await signed(own[1]!, { header: { note: 'x'.repeat(4096) } });
    t.equal(await judge(long, own[1]!), 'proven');
    t.same(kept([long]), [false], 'too long');
  },
);
