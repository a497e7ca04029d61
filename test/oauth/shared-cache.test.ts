// Shared cache: the share of one caller, and the bounds of all.
import t from 'tap';
import { createSharedCache } from '../../src/oauth/shared-cache.ts';

t.test('a caller who fills its share loses its own oldest entry, and nobody else’s', (t) => {
  const cache = createSharedCache<number>({ entries: 10, entriesPerCaller: 3, bytes: 1000 });
  cache.set('other', 'mine', 0, 1);
  for (const number of [1, 2, 3, 4]) cache.set('greedy', `g${number}`, number, 1);
  t.same(['g1', 'g2', 'g3', 'g4', 'mine'].map(cache.get), [undefined, 2, 3, 4, 0]);
  cache.set('greedy', 'g3', 33, 1);
  t.same(['g2', 'g3', 'g4'].map(cache.get), [2, 33, 4], 'an entry that is set anew takes no further room');
  t.end();
});

t.test('all callers together have a bound in entries and in bytes', (t) => {
  const cache = createSharedCache<number>({ entries: 4, entriesPerCaller: 2, bytes: 100 });
  for (const caller of ['a', 'b', 'c', 'd', 'e']) cache.set(caller, caller, 1, 1);
  t.same(['a', 'b', 'e'].map(cache.get), [undefined, 1, 1]);
  cache.set('f', 'large', 2, 95);
  t.same(['large', 'b', 'e'].map(cache.get), [2, undefined, undefined]);
  cache.set('f', 'too large', 3, 200);
  t.equal(cache.get('too large'), undefined);
  for (const key of ['1', '2']) cache.set('f', key, 4, 1);
  t.same(['1', '2'].map(cache.get), [4, 4], 'what was not kept takes no share');
  t.end();
});
