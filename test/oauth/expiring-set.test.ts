// Expiring set: how long an id is in it, and the share of one caller.
import t from 'tap';
import { createExpiringSet } from '../../src/oauth/expiring-set.ts';

t.test('an id is in the set from its addition for its time, and a clock that was set back prolongs nothing', (t) => {
  const set = createExpiringSet({ entries: 3, entriesPerCaller: 2 });
  t.equal(set.has('1', 1000), false);
  t.equal(set.add('a', '1', 2000, 1000), 'added');
  t.same(
    [999, 1000, 2999, 3000].map((now) => set.has('1', now)),
    [false, true, true, false],
  );
  t.equal(set.has('2', 1000), false);
  t.equal(set.add('a', '2', 2000, 1500), 'added');
  t.equal(set.add('a', '3', 2000, 1500), 'full', 'its share is used up');
  t.equal(set.has('3', 1500), false);
  t.equal(set.add('b', '3', 2000, 1500), 'added', 'which leaves room for others');
  t.equal(set.add('b', '4', 2000, 1500), 'full', 'all together have a bound');
  t.equal(set.add('a', '5', 2000, 3000), 'added', 'in the room of what is over');
  t.end();
});
