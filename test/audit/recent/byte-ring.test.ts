// Ring of texts against a list of them: what is there is whole, the oldest make room, and the memory is committed as it is written.
import fc from 'fast-check';
import t from 'tap';
import { createByteRing } from '../../../src/audit/recent/byte-ring.ts';

const text = fc.oneof(
  fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
  fc.integer({ min: 1, max: 400 }).map((length) => 'ü'.repeat(length)),
);

t.test('the newest texts are there, whole and in order, within both bounds', async () => {
  fc.assert(
    fc.property(
      fc.array(text, { maxLength: 200 }),
      fc.integer({ min: 16, max: 2000 }),
      fc.integer({ min: 1, max: 40 }),
      (texts, bytes, entries) => {
        const ring = createByteRing({ bytes, entries });
        const added: string[] = [];
        for (const [index, each] of texts.entries()) {
          const length = Buffer.byteLength(each);
          const isTaken = ring.add(each, index % 256);
          if (isTaken !== length <= bytes / 4) return false;
          if (isTaken) added.push(Buffer.from(each).toString());
          if (ring.newest() !== added.length) return false;
          const there = added.slice(ring.oldest() - 1);
          if (there.length > entries || (isTaken && there.length === 0)) return false;
          const held = there.map((_text, at) => ring.bytesOf(ring.oldest() + at).toString());
          if (held.join('\0') !== there.join('\0')) return false;
          // No more is dropped than room for a text of the worst case takes.
          const lengths = there.reduce((sum, one) => sum + Buffer.byteLength(one), 0);
          const slack = bytes / 4 + 3 * Math.max(...added.map((one) => one.length), 0);
          if (there.length < Math.min(entries, added.length) && lengths < bytes - 2 * slack) return false;
        }
        return true;
      },
    ),
    { numRuns: 300 },
  );
});

t.test('a text keeps its kind', async (t) => {
  const ring = createByteRing({ bytes: 1024, entries: 3 });
  for (const kind of [1, 2, 3, 255]) t.ok(ring.add(`kind ${kind}`, kind));
  t.strictSame([ring.oldest(), ring.newest()], [2, 4]);
  t.strictSame(
    [2, 3, 4].map((entry) => [ring.bytesOf(entry).toString(), ring.kindOf(entry)]),
    [
      ['kind 2', 2],
      ['kind 3', 3],
      ['kind 255', 255],
    ],
  );
});

t.test('an empty ring holds nothing', async (t) => {
  const ring = createByteRing({ bytes: 1024, entries: 3 });
  t.strictSame([ring.oldest(), ring.newest()], [1, 0]);
});
