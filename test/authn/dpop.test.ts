// DPoP proofs apart from the gateway: what is remembered and what happens when no more can be, and nonces from the wrong hands.
import { createSecretKey, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { authenticate } from '../../src/authn/authenticate.ts';
import { compileRequirements } from '../../src/authn/requirements.ts';
import { createProofMemory } from '../../src/authn/token/binding/dpop.ts';
import { createNonceMint } from '../../src/authn/token/binding/dpop-nonce.ts';
import { GatewayError } from '../../src/errors.ts';
import { createExpiringSet } from '../../src/oauth/expiring-set.ts';
import { createDpopKey } from '../support/dpop.ts';
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
    proofMemory: createProofMemory(createExpiringSet({ entries: 1, entriesPerCaller: 1 })),
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

t.test('a nonce is good for its key and its time, and nothing else is one', (t) => {
  const [mint, other] = [1, 2].map(() => createNonceMint(createSecretKey(randomBytes(32))));
  const now = Date.UTC(2026, 10, 25);
  const nonce = mint!.current(now);
  t.equal(mint!.verify(nonce, now), 'current');
  t.equal(mint!.verify(nonce, now + 60_000), 'stale');
  t.equal(mint!.verify(nonce, now + 299_000), 'stale');
  t.equal(mint!.verify(nonce, now + 300_000), 'refused');
  t.equal(mint!.verify(nonce, now - 60_000), 'refused', 'from the future');
  t.equal(other!.verify(nonce, now), 'refused', 'of another process');
  fc.assert(
    fc.property(fc.string({ maxLength: 40 }), (text) => text === nonce || mint!.verify(text, now) === 'refused'),
  );
  t.end();
});
