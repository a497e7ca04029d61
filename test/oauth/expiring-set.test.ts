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

t.test('behind thousands of ids that came and went, each is in the set for its time and no longer', (t) => {
  const set = createExpiringSet({ entries: 10, entriesPerCaller: 10 });
  const wrong: number[] = [];
  for (let now = 0; now < 5000; now++) {
    const ids = [now, now, Math.max(0, now - 9)].map(String);
    const answers = ids.map((id) => set.add('a', id, 10, now));
    const held = [now - 9, now - 10].map((id) => set.has(`${id}`, now));
    if (`${answers}` !== 'added,present,present' || (now > 9 && `${held}` !== 'true,false')) wrong.push(now);
  }
  t.same(wrong, []);
  t.equal(set.add('a', 'one more', 10, 4999), 'full');
  t.equal(set.add('a', 'one more', 10, 5000), 'added');
  t.end();
});
