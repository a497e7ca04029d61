// The set of what comes and goes with each request, held to a Set.
import fc from 'fast-check';
import t from 'tap';
import { createUnorderedSet } from '../../src/gateway/unordered-set.ts';

t.test('it has the members that a Set has, whatever is added, deleted and deleted again', (t) => {
  const step = fc.record({ isAdded: fc.boolean(), which: fc.nat(9) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const members = Array.from({ length: 10 }, (_, name) => ({ place: -1, name }));
      const set = createUnorderedSet<(typeof members)[number]>();
      const model = new Set<(typeof members)[number]>();
      for (const { isAdded, which } of steps) {
        const member = members[which]!;
        if (isAdded && !model.has(member)) {
          set.add(member);
          model.add(member);
        } else if (!isAdded) {
          set.delete(member);
          model.delete(member);
        }
        if (set.size() !== model.size) return false;
      }
      const found = [...set];
      return found.length === model.size && found.every((member) => model.has(member));
    }),
  );
  t.end();
});

t.test('a walk meets each member once, also where it deletes what it meets', (t) => {
  const members = Array.from({ length: 5 }, (_, name) => ({ place: -1, name }));
  const set = createUnorderedSet<(typeof members)[number]>();
  for (const member of members) set.add(member);
  const met: number[] = [];
  for (const member of set) {
    met.push(member.name);
    set.delete(member);
  }
  t.same(met, [0, 1, 2, 3, 4]);
  t.equal(set.size(), 0);
  t.end();
});
