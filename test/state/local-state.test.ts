// State of one process: claims, limits and secrets in its memory.
import t from 'tap';
import { createLocalState } from '../../src/state/local-state.ts';

t.test('what is claimed is good once in its space, for its time', async (t) => {
  let now = 0;
  const state = createLocalState({ now: () => now, claims: { entries: 3, entriesPerCaller: 2 } });
  t.equal(await state.claim('dpop', 'a', 'x', 100), 'added');
  t.equal(await state.claim('dpop', 'b', 'x', 100), 'present');
  t.equal(await state.claim('other', 'a', 'x', 100), 'added');
  t.equal(await state.claim('dpop', 'a', 'y', 100), 'added');
  t.equal(await state.claim('dpop', 'a', 'z', 100), 'full');
  now = 100;
  t.equal(await state.claim('dpop', 'a', 'x', 100), 'added');
});

t.test('a bucket of ten that refills every two seconds', async (t) => {
  let now = 1_000_000;
  const state = createLocalState({ now: () => now });
  const limiter = state.limiter('sql', { kind: 'bucket', burst: 10, intervalMs: 2000 });
  for (let left = 9; left >= 0; left -= 1) {
    t.match(await limiter.consume('a', 'caller', 'holder'), { allowed: true, remaining: left, retryAfterMs: 0 });
  }
  t.same(await limiter.consume('a', 'caller', 'holder'), {
    allowed: false,
    remaining: 0,
    retryAfterMs: 2000,
    resetMs: 20_000,
  });
  t.match(await limiter.consume('b', 'caller', 'holder'), { allowed: true }, 'another key has its own');
  now += 1999;
  t.match(await limiter.consume('a', 'caller', 'holder'), { allowed: false, retryAfterMs: 1 });
  now += 1;
  t.match(await limiter.consume('a', 'caller', 'holder'), { allowed: true, remaining: 0, resetMs: 20_000 });
  t.match(await limiter.consume('a', 'caller', 'holder'), { allowed: false }, 'a refused one takes nothing');
  now -= 3_600_000;
  t.match(
    await limiter.consume('a', 'caller', 'holder'),
    { allowed: false, retryAfterMs: 2000 },
    'a clock that was set back prolongs nothing',
  );
  now += 3_600_000 + 86_400_000;
  t.match(
    await limiter.consume('a', 'caller', 'holder'),
    { allowed: true, remaining: 9 },
    'and no more than ten are saved',
  );
});

t.test('a quota of three a day begins anew at midnight in UTC', async (t) => {
  let now = Date.UTC(2026, 10, 25, 23, 0);
  const limiter = createLocalState({ now: () => now }).limiter('exports', {
    kind: 'window',
    points: 3,
    windowMs: 86_400_000,
  });
  for (let left = 2; left >= 0; left -= 1)
    t.match(await limiter.consume('a', 'caller', 'holder'), { allowed: true, remaining: left });
  t.match(await limiter.consume('a', 'caller', 'holder'), {
    allowed: false,
    retryAfterMs: 3_600_000,
    resetMs: 3_600_000,
  });
  now += 3_600_000;
  t.match(await limiter.consume('a', 'caller', 'holder'), { allowed: true, remaining: 2, resetMs: 86_400_000 });
});

t.test('a limit that changes its size goes on with what was used', async (t) => {
  const state = createLocalState({ now: () => 0 });
  await state.limiter('sql', { kind: 'bucket', burst: 2, intervalMs: 1000 }).consume('a', 'caller', 'holder');
  const smaller = state.limiter('sql', { kind: 'bucket', burst: 1, intervalMs: 1000 });
  t.match(await smaller.consume('a', 'caller', 'holder'), { allowed: false, retryAfterMs: 1000 });
});

t.test('a secret is the same for its time, and another one then', async (t) => {
  let now = 0;
  const { secret } = createLocalState({ now: () => now });
  const first = await secret('one', 100);
  t.equal(first.length, 32);
  t.same(await secret('one', 100), first);
  t.notSame(await secret('two', 100), first);
  now = 100;
  t.notSame(await secret('one', 100), first);
});
