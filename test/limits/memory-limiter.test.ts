// Token buckets and quotas in memory against a simple model, and the bounds of what they hold.
import fc from 'fast-check';
import t from 'tap';
import { createLocalState } from '../../src/state/local-state.ts';
import type { Consumption, LimitSize } from '../../src/state/shared-state.ts';
import { unverified } from '../../src/state/usage-store.ts';

const startMs = Date.UTC(2026, 10, 28, 19, 0);

type Event = { readonly kind: 'call' | 'giveBack' } | { readonly kind: 'wait'; readonly ms: number };

const events = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.constant<Event>({ kind: 'call' }) },
    { weight: 1, arbitrary: fc.constant<Event>({ kind: 'giveBack' }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 5000 }) }) },
  ),
  { maxLength: 80 },
);

async function play(size: LimitSize, played: readonly Event[], expect: (now: number) => Model): Promise<boolean> {
  let now = startMs;
  const limiter = createLocalState({ now: () => now }).limiter('sql', size);
  const model = expect(now);
  for (const event of played) {
    if (event.kind === 'wait') now += event.ms;
    else if (event.kind === 'giveBack') {
      model.giveBack(now);
      await limiter.giveBack('a', 'caller', 'holder');
    } else if (!isSame(await limiter.consume('a', 'caller', 'holder'), model.call(now))) return false;
  }
  return true;
}

function isSame(consumption: Consumption, { allowed, remaining, retryAfterMs }: Expected): boolean {
  return (
    consumption.allowed === allowed &&
    consumption.remaining === remaining &&
    Math.abs(consumption.retryAfterMs - retryAfterMs) <= 1
  );
}

type Expected = Pick<Consumption, 'allowed' | 'remaining' | 'retryAfterMs'>;

interface Model {
  call(now: number): Expected;
  giveBack(now: number): void;
}

/** Counts in whole units of a call's share of a millisecond, so that nothing is rounded. */
function bucketModel(burst: number, count: number, perMs: number, startMs: number): Model {
  const token = perMs;
  let left = burst * token;
  let at = startMs;
  const refill = (now: number) => {
    left = Math.min(burst * token, left + (now - at) * count);
    at = now;
  };
  return {
    call(now) {
      refill(now);
      if (left < token) return { allowed: false, remaining: 0, retryAfterMs: (token - left) / count };
      left -= token;
      return { allowed: true, remaining: Math.floor(left / token), retryAfterMs: 0 };
    },
    giveBack(now) {
      refill(now);
      left = Math.min(burst * token, left + token);
    },
  };
}

t.test('a bucket is a token bucket, whatever comes when: its burst at once, then its rate', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 1, max: 90 }),
      fc.constantFrom(1000, 60_000),
      events,
      (burst, count, perMs, played) =>
        play({ kind: 'bucket', burst, intervalMs: perMs / count }, played, (now) =>
          bucketModel(burst, count, perMs, now),
        ),
    ),
    { numRuns: 60 },
  );
  t.pass();
});

t.test('a quota counts in windows of UTC, whenever the first call comes', async (t) => {
  const windowMs = 10_000;
  const model = (points: number): Model => {
    const used = new Map<number, number>();
    const windowOf = (now: number) => Math.floor(now / windowMs);
    const usedAt = (now: number) => used.get(windowOf(now)) ?? 0;
    return {
      call(now) {
        const next = usedAt(now) + 1;
        if (next > points) return { allowed: false, remaining: 0, retryAfterMs: windowMs - (now % windowMs) };
        used.set(windowOf(now), next);
        return { allowed: true, remaining: points - next, retryAfterMs: 0 };
      },
      giveBack: (now) => void used.set(windowOf(now), Math.max(0, usedAt(now) - 1)),
    };
  };
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 8 }), events, (points, played) =>
      play({ kind: 'window', points, windowMs }, played, () => model(points)),
    ),
    { numRuns: 60 },
  );
  t.pass();
});

t.test(
  'thirty a minute with a burst of ten: in an hour never more than ten and one for every two seconds',
  async (t) => {
    let now = startMs;
    const limiter = createLocalState({ now: () => now }).limiter('sql', {
      kind: 'bucket',
      burst: 10,
      intervalMs: 2000,
    });
    let passed = 0;
    for (; now <= startMs + 3_600_000; now += 250)
      if ((await limiter.consume('a', 'caller', 'holder')).allowed) passed += 1;
    t.equal(passed, 10 + 1800);
  },
);

t.test(
  'rates that no binary fraction holds lose no call: a burst of 7 of 7/m, and 3 calls of 1/s after 3 thirds',
  async (t) => {
    let now = startMs;
    const state = createLocalState({ now: () => now });
    const seven = state.limiter('seven', { kind: 'bucket', burst: 7, intervalMs: 60_000 / 7 });
    for (let call = 0; call < 7; call += 1) t.equal((await seven.consume('a', 'caller', 'holder')).allowed, true);
    now += 60_000;
    for (let call = 0; call < 7; call += 1) t.equal((await seven.consume('a', 'caller', 'holder')).allowed, true);
    t.equal((await seven.consume('a', 'caller', 'holder')).allowed, false);
    const third = state.limiter('third', { kind: 'bucket', burst: 1, intervalMs: 3 });
    await third.consume('a', 'caller', 'holder');
    for (let step = 0; step < 2; step += 1) {
      now += 1;
      t.equal((await third.consume('a', 'caller', 'holder')).allowed, false);
    }
    now += 1;
    t.equal((await third.consume('a', 'caller', 'holder')).allowed, true);
  },
);

t.test(
  'a caller who makes up keys gets a share of the room, then one bucket for all further ones; others notice nothing',
  async (t) => {
    let now = startMs;
    const state = createLocalState({ now: () => now, buckets: { keys: 20, keysPerHolder: 4 } });
    const limiter = state.limiter('per-tool', { kind: 'bucket', burst: 2, intervalMs: 60_000 });
    const take = (key: string, holder: string) => limiter.consume(key, holder, 'holder');
    for (let key = 0; key < 4; key += 1)
      t.match(await take(`own ${key}`, 'eve'), { allowed: true, isShared: undefined });
    t.match(await take('made up 1', 'eve'), { allowed: true, isShared: true });
    t.match(await take('made up 2', 'eve'), { allowed: true, isShared: true });
    t.match(await take('made up 3', 'eve'), { allowed: false, isShared: true });
    t.match(await take('own 0', 'eve'), { allowed: true, remaining: 0 }, 'a bucket that is there is kept');
    t.match(await take('own 0', 'eve'), { allowed: false });
    t.match(await take('own 0 of alice', 'alice'), { allowed: true, remaining: 1, isShared: undefined });
    now += 120_000;
    for (let key = 0; key < 4; key += 1)
      t.match(await take(`later ${key}`, 'eve'), { allowed: true, isShared: undefined });
  },
);

t.test(
  'a full store refuses nobody who has a bucket, forgets no bucket in use, and gives new callers one together',
  async (t) => {
    let now = startMs;
    const state = createLocalState({ now: () => now, buckets: { keys: 6, keysPerHolder: 2 } });
    const limiter = state.limiter('sql', { kind: 'bucket', burst: 2, intervalMs: 60_000 });
    const strangers = [];
    for (let key = 0; key < 9; key += 1) strangers.push(await limiter.consume(`10.0.0.${key}`, unverified, 'holder'));
    t.same(
      strangers.map(({ isShared = false }) => isShared),
      [false, false, false, ...Array(6).fill(true)],
      'they have half',
    );
    t.same(
      strangers.map(({ allowed }) => allowed),
      [true, true, true, true, true, false, false, false, false],
    );
    t.match(await limiter.consume('alice', 'alice', 'holder'), { allowed: true, remaining: 1, isShared: undefined });
    t.match(await limiter.consume('bob', 'bob', 'holder'), { allowed: true, remaining: 1, isShared: undefined });
    t.match(await limiter.consume('carol', 'carol', 'holder'), { allowed: true, isShared: true });
    t.match(await limiter.consume('dave', 'dave', 'holder'), { allowed: true, isShared: true });
    t.match(await limiter.consume('erin', 'erin', 'holder'), { allowed: false, isShared: true });
    t.match(await limiter.consume('alice', 'alice', 'holder'), { allowed: true, remaining: 0, isShared: undefined });
    t.match(
      await limiter.consume('alice', 'alice', 'holder'),
      { allowed: false },
      'used up, however many keys others made',
    );
    now += 240_000;
    t.match(await limiter.consume('erin', 'erin', 'holder'), { allowed: true, remaining: 1, isShared: undefined });
  },
);

t.test('whoever calls, in whatever room: no key is let pass more often than its limit says', async (t) => {
  const sizes: readonly LimitSize[] = [
    { kind: 'bucket', burst: 2, intervalMs: 1500 },
    { kind: 'window', points: 2, windowMs: 20_000 },
  ];
  const origins = ['given', 'holder', 'common'] as const;
  const calls = fc.array(
    fc.record({
      limit: fc.nat(1),
      key: fc.nat(3),
      holder: fc.nat(2),
      // A second between two looks for room is past.
      ms: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: 1000, max: 4000 })),
    }),
    { minLength: 40, maxLength: 80 },
  );
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...origins), calls, async (origin, made) => {
      let now = startMs;
      const bounded = createLocalState({ now: () => now, buckets: { keys: 6, keysPerHolder: 1 } });
      const exact = createLocalState({ now: () => now });
      for (const { holder, key, limit, ms } of made) {
        now += ms;
        const call = [
          origin === 'holder' ? `${holder} ${key}` : `${key}`,
          ['', 'eve', 'bob'][holder]!,
          origin,
        ] as const;
        const [bound, own] = [bounded, exact].map((state) => state.limiter(`${limit}`, sizes[limit]!));
        if ((await bound!.consume(...call)).allowed && !(await own!.consume(...call)).allowed) return false;
      }
      return true;
    }),
    { numRuns: 100 },
  );
  t.pass();
});
