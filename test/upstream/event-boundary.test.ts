// Boundaries between the events of a stream, whatever pieces it comes in.
import fc from 'fast-check';
import t from 'tap';
import { createEventBoundary } from '../../src/upstream/response/sse-boundary.ts';

/** The definition, on the whole text: complete lines, and whether one that is no comment came after the last empty one. */
function isBetweenEvents(text: string): boolean {
  const lines = text.split(/\r\n|\n|\r/);
  if (lines.pop() !== '') return false;
  return lines.slice(lines.lastIndexOf('') + 1).every((line) => line.startsWith(':'));
}

const piece = fc.constantFrom(
  '\n',
  '\r',
  '\r\n',
  '\n\n',
  '\r\n\r\n',
  ':',
  ': ping',
  'data: x',
  'id:',
  'retry: 1',
  ' ',
  'é',
);
/** About as long as a line is walked before its end is searched for. */
const longLine = fc.integer({ min: 506, max: 518 }).map((length) => 'x'.repeat(length));
const text = fc
  .array(fc.oneof({ arbitrary: piece, weight: 16 }, longLine), { maxLength: 20 })
  .map((pieces) => pieces.join(''));

t.test('between two events is where the whole text so far says so, however it was cut', (t) => {
  fc.assert(
    fc.property(fc.array(text, { maxLength: 8 }), (chunks) => {
      const boundary = createEventBoundary();
      let whole = '';
      for (const chunk of chunks) {
        boundary.read(Buffer.from(chunk));
        whole += chunk;
        if (boundary.isBetweenEvents() !== isBetweenEvents(whole)) return false;
      }
      return true;
    }),
    { numRuns: 2000 },
  );
  t.end();
});

t.test('the rest of an event that is on its way ends at the first boundary behind it', (t) => {
  fc.assert(
    fc.property(text, text, (before, chunk) => {
      const boundary = createEventBoundary();
      boundary.read(Buffer.from(before));
      const bytes = Buffer.from(chunk);
      const length = boundary.lengthToEnd(bytes);
      const ends = Array.from(bytes, (_, index) =>
        isBetweenEvents(before + bytes.subarray(0, index + 1).toString('latin1')),
      );
      // A lone return is a line end until a line feed follows.
      const expected = ends.indexOf(true);
      return (
        length === (expected === -1 ? undefined : expected + 1) &&
        boundary.isBetweenEvents() === isBetweenEvents(before)
      );
    }),
    { numRuns: 2000 },
  );
  t.end();
});

t.test('the size of an event counts from the last boundary, and comments do not add up', (t) => {
  const boundary = createEventBoundary();
  const pass = (chunk: string) => {
    boundary.read(Buffer.from(chunk));
    return boundary.openBytes();
  };
  t.equal(pass('data: a'), 7);
  t.equal(pass('bc\nid: 1'), 15);
  t.equal(pass('\n\n'), 0);
  t.equal(pass('data: x\n\nda'), 2);
  t.equal(pass('ta: y\r\n\r\n: ping\n'), 0);
  t.end();
});
