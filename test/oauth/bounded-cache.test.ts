// Bounded cache: its number of entries, its bytes, and the memory that an empty one takes.
import t from 'tap';
import { createBoundedCache } from '../../src/bounded-cache.ts';

const keys = (length: number) => Array.from({ length }, (_, index) => String(index));

t.test('the number of entries is bounded, and the least recently used one leaves', (t) => {
  const cache = createBoundedCache<true>({ entries: 3 });
  for (const key of keys(3)) cache.set(key, true);
  cache.get('0');
  cache.set('3', true);
  t.same(
    ['0', '1', '2', '3'].map((key) => cache.has(key)),
    [true, false, true, true],
  );
  for (const key of keys(1000)) cache.set(key, true);
  t.equal(cache.size, 3);
  t.end();
});

t.test('with a bound of bytes, small entries are still bounded by their number, and large ones by their bytes', (t) => {
  const size = { bytes: 100, of: ({ length }: { length: number }) => length };
  const cache = createBoundedCache<{ length: number }>({ entries: 4, size });
  for (const key of keys(1000)) cache.set(key, { length: 1 });
  t.equal(cache.size, 4);
  cache.set('large', { length: 60 });
  t.same([cache.size, cache.has('large')], [2, true]);
  cache.set('too large', { length: 101 });
  t.notOk(cache.has('too large'));
  t.end();
});

t.test('a hundred empty caches of 10,000 entries take no memory for entries that never come', (t) => {
  const before = process.memoryUsage().arrayBuffers;
  const caches = Array.from({ length: 100 }, () => createBoundedCache<true>({ entries: 10_000 }));
  const taken = process.memoryUsage().arrayBuffers - before;
  t.ok(taken < 100_000, `${taken} bytes`);
  t.equal(caches.length, 100);
  t.end();
});
