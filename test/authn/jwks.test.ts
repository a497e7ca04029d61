// JWK sets (RFC 7517): fetching, refresh, rotation, and outages of the issuer.
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { parseKeySet } from '../../src/authn/token/jwk.ts';
import { createKeySet, type KeySet, type KeySetOptions } from '../../src/authn/token/jwks.ts';
import { metadataAddresses } from '../../src/authn/token/jwks-source.ts';
import { GatewayError } from '../../src/errors.ts';
import { hasRocaFingerprint } from '../../src/key-strength.ts';
import { egressOf } from '../../src/oauth/egress.ts';
import { createFakeIssuer, createSigningKey, type FakeIssuer, type IssuerFault } from '../support/issuer.ts';
import { until } from '../support/until.ts';

const minute = 60_000;
const hour = 60 * minute;

interface Scene {
  readonly issuer: FakeIssuer;
  readonly keySet: KeySet;
  /** Moves the clock; no timer runs by itself. */
  advance(ms: number): void;
  /** Delay of the timer that is set. */
  readonly timerMs: () => number | undefined;
  /** Lets the timer go off and waits until the fetch has ended. */
  fireTimer(): Promise<void>;
  readonly failures: () => number;
  /** `found`, `unknown` or the code that was thrown. */
  resolve(kid?: string): Promise<string>;
}

async function createScene(
  t: Test,
  options: { fault?: IssuerFault; path?: string; keySet?: Partial<KeySetOptions> } = {},
): Promise<Scene> {
  const issuer = await createFakeIssuer(options.path === undefined ? {} : { path: options.path });
  issuer.fault = options.fault;
  let clock = Date.parse('2026-11-01T00:00:00Z');
  let failures = 0;
  let timer: { run: () => void; delayMs: number } | undefined;
  let timerSet = () => {};
  const keySet = createKeySet({
    issuer: issuer.issuer,
    insecure: false,
    egress: egressOf(undefined, {}),
    refreshMs: 10 * minute,
    maxStaleMs: 24 * hour,
    log: pino({ level: 'silent' }),
    now: () => clock,
    observe: { keySetRefreshFailed: () => void failures++ },
    schedule(run, delayMs) {
      timer = { run, delayMs };
      timerSet();
      return () => {
        timer = undefined;
      };
    },
    ...options.keySet,
  });
  keySet.start();
  t.teardown(async () => {
    keySet.close();
    await issuer.close();
  });
  return {
    issuer,
    keySet,
    advance(ms) {
      clock += ms;
    },
    timerMs: () => timer?.delayMs,
    fireTimer() {
      const ended = new Promise<void>((resolve) => {
        timerSet = resolve;
      });
      timer?.run();
      return ended;
    },
    failures: () => failures,
    async resolve(kid = issuer.key.kid) {
      try {
        return (await keySet.resolve(kid, 'ES256')) === undefined ? 'unknown' : 'found';
      } catch (error) {
        if (!(error instanceof GatewayError)) throw error;
        return error.code;
      }
    },
  };
}

/** True for an answer that waits for no fetch: it is there before any I/O can be. */
async function isAtOnce(answer: Promise<unknown>): Promise<boolean> {
  let settled = false;
  void answer.finally(() => {
    settled = true;
  });
  for (let turn = 0; turn < 10; turn++) await undefined;
  return settled;
}

t.test('an outage of the issuer is not noticed by tokens whose key is known, until the set is too old', async (t) => {
  const scene = await createScene(t);
  t.notOk(scene.keySet.ready());
  t.equal(scene.keySet.generation(), undefined);
  t.equal(scene.keySet.ageSeconds(), undefined);
  t.equal(await scene.resolve(), 'found');
  t.ok(scene.keySet.ready());
  t.equal(scene.keySet.generation(), 1);
  t.equal(scene.timerMs(), 10 * minute);
  scene.issuer.fault = 'down';
  for (let passed = 0; passed < 24 * hour; passed += hour) {
    scene.advance(hour);
    const answer = scene.keySet.resolve(scene.issuer.key.kid, 'ES256');
    t.ok(await isAtOnce(answer), `after ${passed / hour + 1} h it is answered at once`);
    await scene.fireTimer();
    t.equal(scene.timerMs(), 10_000, 'and tried again soon');
  }
  t.equal(scene.keySet.ageSeconds(), 24 * 3600);
  t.equal(scene.keySet.generation(), 1);
  scene.advance(1);
  t.notOk(scene.keySet.ready());
  t.equal(scene.keySet.generation(), undefined, 'tokens verified before are not good any more either');
  t.equal(await scene.resolve(), 'idp_unavailable');
  t.ok(scene.failures() >= 24);
  scene.issuer.fault = undefined;
  await scene.fireTimer();
  t.ok(scene.keySet.ready(), 'and it recovers by itself');
  t.equal(await scene.resolve(), 'found');
  t.equal(scene.keySet.generation(), 1, 'the same keys are the same generation');
});

t.test('ten minutes and a second into an outage the known keys still serve', async (t) => {
  const scene = await createScene(t);
  t.equal(await scene.resolve(), 'found');
  scene.issuer.fault = 'slow';
  scene.advance(10 * minute + 1000);
  for (let count = 0; count < 50; count++) {
    t.ok(await isAtOnce(scene.keySet.resolve(scene.issuer.key.kid, 'ES256')));
  }
  scene.issuer.fault = undefined;
});

t.test('a start without the issuer is 503 and never 401, asks once in ten seconds, and recovers', async (t) => {
  const scene = await createScene(t, { fault: 'down' });
  t.equal(await scene.resolve(), 'idp_unavailable');
  const asked = scene.issuer.requests.metadata;
  t.equal(scene.issuer.requests.keys, 0);
  for (let count = 0; count < 100; count++) t.equal(await scene.resolve(`kid-${count}`), 'idp_unavailable');
  t.equal(scene.issuer.requests.metadata, asked, 'nothing more was asked');
  t.notOk(scene.keySet.ready());
  t.equal(scene.failures(), 1);
  t.equal(scene.timerMs(), 10_000);
  scene.issuer.fault = undefined;
  scene.advance(10_000);
  await scene.fireTimer();
  t.ok(scene.keySet.ready());
  t.equal(await scene.resolve(), 'found');
  const error = await createScene(t, { fault: 'error' }).then(async (other) => {
    await other.resolve();
    try {
      return await other.keySet.resolve('x', 'ES256');
    } catch (thrown) {
      return thrown;
    }
  });
  t.match(error, { status: 503, code: 'idp_unavailable', headers: { 'Retry-After': '10' } });
  t.notMatch((error as Error).message, /127\.0\.0\.1|500/, 'the client is not told what failed');
});

t.test('a flood of unknown kids makes one fetch in ten seconds, whether the issuer works or not', async (t) => {
  const scene = await createScene(t);
  t.equal(await scene.resolve(), 'found');
  t.same(scene.issuer.requests, { metadata: 1, keys: 1, others: [] });
  const flood = () => Promise.all(Array.from({ length: 200 }, (_, index) => scene.resolve(`random-${index}`)));
  t.ok((await flood()).every((each) => each === 'unknown'));
  t.equal(scene.issuer.requests.keys, 1, 'the set is fresh: no fetch');
  for (const round of [2, 3, 4]) {
    scene.advance(10_000);
    t.ok((await flood()).every((each) => each === 'unknown'));
    t.ok((await flood()).every((each) => each === 'unknown'));
    t.equal(scene.issuer.requests.keys, round);
  }
  t.equal(scene.issuer.requests.metadata, 1, 'the address of the keys is known');
  scene.issuer.fault = 'error';
  scene.advance(10_000);
  t.ok(
    (await flood()).every((each) => each === 'unknown'),
    'a failing issuer makes no 503 for unknown keys',
  );
  t.ok((await flood()).every((each) => each === 'unknown'));
  t.equal(scene.issuer.requests.keys, 5);
  t.equal(scene.issuer.requests.metadata, 1);
  scene.advance(9999);
  t.ok(await isAtOnce(scene.keySet.resolve('random', 'ES256')), 'refused at once within the cooldown');
  t.equal(await scene.resolve(), 'found', 'known keys are not affected');
});

t.test('a rotated key works after one fetch, a removed one is refused after the next refresh', async (t) => {
  const scene = await createScene(t);
  const old = scene.issuer.key.kid;
  t.equal(await scene.resolve(), 'found');
  scene.issuer.rotate();
  t.equal(await scene.resolve(), 'unknown', 'within ten seconds of the last fetch');
  scene.advance(10_000);
  t.equal(await scene.resolve(), 'found');
  t.equal(scene.issuer.requests.keys, 2);
  t.equal(scene.keySet.generation(), 2);
  t.equal(await scene.resolve(old), 'unknown');
});

t.test('a due refresh happens behind the requests, and again by the timer', async (t) => {
  const scene = await createScene(t);
  t.equal(await scene.resolve(), 'found');
  scene.advance(10 * minute + 1);
  const refreshed = scene.fireTimer();
  t.equal(await scene.resolve(), 'found');
  await refreshed;
  t.same(scene.issuer.requests, { metadata: 2, keys: 2, others: [] }, 'once, with the metadata read anew');
  t.equal(scene.keySet.ageSeconds(), 0);
});

t.test('what an issuer may answer wrongly leaves the last good set in force', async (t) => {
  for (const fault of ['down', 'error', 'not-found', 'huge', 'redirect', 'garbage', 'empty'] as const) {
    const scene = await createScene(t);
    t.equal(await scene.resolve(), 'found');
    scene.issuer.fault = fault;
    scene.advance(11 * minute);
    await scene.fireTimer();
    t.equal(await scene.resolve(), 'found', fault);
    t.equal(scene.failures(), 1, fault);
    t.same(scene.issuer.requests.others, [], `${fault}: no redirect was followed`);
    t.equal(scene.keySet.ageSeconds(), 11 * 60);
  }
});

t.test('an answer that never ends is given up', async (t) => {
  const giveUp = async (fault: IssuerFault) => {
    const scene = await createScene(t, { fault });
    t.equal(await scene.resolve(), 'idp_unavailable', fault);
    t.equal(scene.failures(), 1);
  };
  await Promise.all([giveUp('slow'), giveUp('drip')]);
});

t.test('too many keys, or none that is good, are no key set', (t) => {
  const { jwk } = createSigningKey('ES256');
  const many = Array.from({ length: 101 }, (_, index) => ({ ...jwk, kid: `k${index}` }));
  for (const document of [null, [], 7, 'x', {}, { keys: {} }, { keys: [] }, { keys: [null, 7] }, { keys: many }]) {
    t.throws(() => parseKeySet(document), JSON.stringify(document)?.slice(0, 40));
  }
  t.equal(parseKeySet({ keys: many.slice(0, 100) }).keys.length, 100);
  const mixed = parseKeySet({ keys: [jwk, { kty: 'oct', k: 'AA' }, { ...jwk, use: 'enc' }, 7] });
  t.equal(mixed.keys.length, 1);
  t.same(
    [...mixed.refused],
    [
      ['private or symmetric', 1],
      ['not for signatures', 1],
      ['not an object', 1],
    ],
  );
  t.end();
});

t.test('metadata of another issuer, or that leads elsewhere, is not used', async (t) => {
  const wrong = await createScene(t, { fault: 'wrong-issuer' });
  t.equal(await wrong.resolve(), 'idp_unavailable');
  t.same(wrong.issuer.requests, { metadata: 2, keys: 0, others: [] });
  for (const address of ['http://192.0.2.1/jwks', 'http://internal/jwks', 'file:///etc/passwd', 'jwks', '']) {
    const scene = await createScene(t, { fault: 'down' });
    await scene.resolve();
    scene.issuer.fault = undefined;
    scene.issuer.advertisedJwksUri = address;
    scene.advance(10_000);
    await scene.fireTimer();
    t.equal(await scene.resolve(), 'idp_unavailable', address);
    t.equal(scene.issuer.requests.keys, 0);
  }
});

t.test(
  'the metadata is found in either form, with a path too, and not needed where the address is given',
  async (t) => {
    t.same(metadataAddresses('https://idp.example/'), [
      'https://idp.example/.well-known/oauth-authorization-server',
      'https://idp.example/.well-known/openid-configuration',
    ]);
    t.same(metadataAddresses('https://idp.example/tenant/a/'), [
      'https://idp.example/.well-known/oauth-authorization-server/tenant/a',
      'https://idp.example/tenant/a/.well-known/openid-configuration',
    ]);
    for (const form of ['oauth', 'openid'] as const) {
      const scene = await createScene(t, { fault: 'down', path: '/tenant' });
      await scene.resolve();
      scene.issuer.fault = undefined;
      scene.issuer.metadataForms = [form];
      scene.advance(10_000);
      await scene.fireTimer();
      t.equal(await scene.resolve(), 'found', form);
    }
    const issuer = await createFakeIssuer();
    t.teardown(() => issuer.close());
    const direct = await createScene(t, { keySet: { jwksUri: issuer.jwksUri } });
    t.equal(await direct.resolve(issuer.key.kid), 'found');
    t.same(direct.issuer.requests, { metadata: 0, keys: 0, others: [] });
    t.same(issuer.requests, { metadata: 0, keys: 1, others: [] });
  },
);

t.test(
  'the metadata is kept beside the keys, as long as they are, and asked for itself only where it is wanted',
  async (t) => {
    const scene = await createScene(t);
    t.equal(scene.keySet.metadata(), undefined);
    await scene.resolve();
    const document = { issuer: scene.issuer.issuer, jwks_uri: scene.issuer.jwksUri };
    t.same(JSON.parse(scene.keySet.metadata() ?? ''), document);
    t.equal(scene.issuer.requests.metadata, 1, 'it is what the keys were found by');
    scene.issuer.fault = 'down';
    scene.advance(24 * hour);
    await scene.fireTimer();
    t.same(JSON.parse(scene.keySet.metadata() ?? ''), document);
    scene.advance(1);
    t.equal(scene.keySet.metadata(), undefined, 'too old');

    const keys = await createFakeIssuer();
    t.teardown(() => keys.close());
    const wanted = await createScene(t, { keySet: { jwksUri: keys.jwksUri, metadataWanted: true } });
    t.equal(await wanted.resolve(keys.key.kid), 'found');
    await until(() => wanted.keySet.metadata() !== undefined);
    t.match(JSON.parse(wanted.keySet.metadata() ?? ''), { issuer: wanted.issuer.issuer });
    for (const fault of ['slow', 'down', 'huge', 'redirect', 'garbage', 'wrong-issuer', 'not-found'] as const) {
      wanted.issuer.fault = fault;
      wanted.advance(10 * minute);
      await wanted.fireTimer();
      t.equal(wanted.failures(), 0, `${fault}: the keys are there all the same`);
      t.equal(wanted.keySet.ageSeconds(), 0);
      t.match(JSON.parse(wanted.keySet.metadata() ?? ''), { issuer: wanted.issuer.issuer }, 'and the metadata is kept');
    }
  },
);

t.test('a clock that is set back does not prolong the cooldown', async (t) => {
  const scene = await createScene(t);
  t.equal(await scene.resolve(), 'found');
  scene.issuer.rotate();
  scene.advance(-hour);
  t.equal(await scene.resolve(), 'found');
});

t.test('a closed set asks nobody any more', async (t) => {
  const scene = await createScene(t);
  t.equal(await scene.resolve(), 'found');
  scene.keySet.close();
  t.equal(scene.timerMs(), undefined);
  scene.advance(hour);
  t.equal(await scene.resolve('other'), 'unknown');
  t.equal(scene.issuer.requests.keys, 1);
});

t.test('moduli built from powers of 65537 are told apart from others', (t) => {
  const primorial = [
    3n,
    5n,
    7n,
    11n,
    13n,
    17n,
    19n,
    23n,
    29n,
    31n,
    37n,
    41n,
    43n,
    47n,
    53n,
    59n,
    61n,
    67n,
    71n,
    73n,
    79n,
    83n,
    89n,
    97n,
    101n,
    103n,
    107n,
    109n,
    113n,
    127n,
    131n,
    137n,
    139n,
    149n,
    151n,
    157n,
    163n,
    167n,
  ].reduce((product, prime) => product * prime);
  let power = 1n;
  for (let exponent = 0; exponent < 1234; exponent++) power = (power * 65_537n) % primorial;
  t.ok(hasRocaFingerprint(power + primorial * 2n ** 1800n));
  for (const key of [createSigningKey('RS256'), createSigningKey('RS256')]) {
    const modulus = BigInt(`0x${Buffer.from(String(key.jwk.n), 'base64url').toString('hex')}`);
    t.notOk(hasRocaFingerprint(modulus));
  }
  t.end();
});
