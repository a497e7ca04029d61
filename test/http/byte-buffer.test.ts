// Growing byte buffer: order of the bytes, and the memory that it holds.
import fc from 'fast-check';
import t from 'tap';
import { createByteBuffer } from '../../src/http/body/byte-buffer.ts';
import { heldBytes } from '../support/memory.ts';

t.test('the bytes come out as they went in, in whatever pieces, and the buffer is empty afterwards', async () => {
  const bodies = fc.array(fc.array(fc.uint8Array({ maxLength: 3000 }), { maxLength: 20 }), { maxLength: 3 });
  fc.assert(
    fc.property(bodies, fc.nat(50_000), (all, expectedBytes) => {
      const buffer = createByteBuffer(expectedBytes);
      return all.every((pieces) => {
        for (const piece of pieces) buffer.append(Buffer.from(piece));
        const expected = Buffer.concat(pieces);
        return buffer.length() === expected.length && buffer.take().equals(expected) && buffer.length() === 0;
      });
    }),
    { numRuns: 300 },
  );
});

t.test(
  'pieces of one byte, some of which pin 64 KiB, cost at most twice their bytes, also when they are taken',
  async (t) => {
    const bytes = 1_500_000;
    const buffer = createByteBuffer();
    const before = await heldBytes();
    for (let index = 0; index < bytes; index += 1) {
      buffer.append(index % 1000 === 0 ? Buffer.alloc(65_536, 'x').subarray(0, 1) : Buffer.from('x'));
    }
    const held = (await heldBytes()) - before;
    t.ok(held <= 2 * bytes, `${held} bytes`);
    const whole = buffer.take();
    const taken = (await heldBytes()) - before;
    t.ok(taken <= 2 * bytes, `${taken} bytes`);
    t.equal(whole.length, bytes);
  },
);

t.test('a body of the length that is expected is copied once: it is the memory it was collected in', async (t) => {
  const bytes = 1024 * 1024;
  const piece = Buffer.alloc(16_384, 'x');
  const buffer = createByteBuffer(bytes);
  for (let from = 0; from < bytes; from += piece.length) buffer.append(piece);
  const before = await heldBytes();
  const whole = buffer.take();
  t.equal(whole.length, bytes);
  t.equal(whole.buffer.byteLength, bytes, 'nothing more is kept for it');
  const taken = (await heldBytes()) - before;
  t.ok(taken < bytes / 2, `${taken} bytes more`);
});
