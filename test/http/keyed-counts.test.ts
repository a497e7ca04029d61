// Counts by key: those in use are kept, the others bounded in number.
import t from 'tap';
import { createKeyedCounts } from '../../src/keyed-counts.ts';

t.test('a key in use keeps its counts while many others come and go', (t) => {
  const counts = createKeyedCounts(() => ({ open: 0, streams: 0 }));
  const kept = counts.of('kept');
  kept.streams += 1;
  for (let index = 0; index < 10_000; index += 1) {
    const passing = counts.of(`passing-${index}`);
    passing.open += 1;
    passing.open -= 1;
  }
  t.equal(counts.of('kept'), kept);
  t.ok(counts.size() <= 2048, `${counts.size()} keys are held`);
  t.end();
});

t.test('all keys in use are kept, however many', (t) => {
  const counts = createKeyedCounts(() => ({ open: 0 }));
  for (let index = 0; index < 5000; index += 1) counts.of(`key-${index}`).open += 1;
  t.equal(counts.size(), 5000);
  for (let index = 0; index < 5000; index += 1) counts.of(`key-${index}`).open -= 1;
  for (let index = 0; index < 20_000; index += 1) counts.of(`other-${index}`);
  t.ok(counts.size() <= 12_000, `${counts.size()} keys are held`);
  t.end();
});
