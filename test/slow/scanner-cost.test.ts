// The cost of reading a message, counted in steps, so that the answer is the same on every machine.
import fc from 'fast-check';
import t from 'tap';
import { maxDepth, maxKeys } from '../../src/json/scanner.ts';
import { startStepCounter } from '../mcp/step-counter.ts';

const counter = startStepCounter();
t.teardown(() => counter.close());

const call = (args: string) =>
  `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":${args}}}}`;
/** What is read of every document: four bytes take a step or more, or the counter does not see the reader. */
const prefix = call('').length - 3;
const namesOf = (count: number, nameOf: (index: number) => string) =>
  Array.from({ length: count }, (_, index) => `"${nameOf(index)}":0`).join(',');

t.test('sixteen times the bytes take sixteen times the steps', async (t) => {
  const documents: Record<string, (size: number) => string> = {
    'a long string': (size) => call(`"${'x'.repeat(size)}"`),
    'many long strings': (size) => call(`[${`"${'x'.repeat(200)}",`.repeat(size / 203)}1]`),
    'many long strings before one backslash': (size) =>
      call(`[${`"${'x'.repeat(200)}",`.repeat(size / 203)}"${'x'.repeat(200)}\\n"]`),
    'many escapes far from each other': (size) => call(`"${`${'x'.repeat(200)}\\n`.repeat(size / 202)}"`),
    'many escapes': (size) => call(`"${'\\u0041'.repeat(size / 6)}"`),
    'many surrogate pairs': (size) => call(`"${'\\ud83d\\ude00'.repeat(size / 12)}"`),
    'many numbers': (size) => call(`[${'1,'.repeat(size / 2)}1]`),
    'one long number': (size) => call(`0.${'1'.repeat(size)}`),
    'one long exponent': (size) => call(`1e-${'0'.repeat(size)}1`),
    'white space': (size) => call(`${' '.repeat(size)}1`),
    'many empty objects': (size) => call(`[${'{},'.repeat(size / 3)}{}]`),
    'brackets as deep as they may be': (size) => call(`[${`${'['.repeat(60)}${']'.repeat(60)},`.repeat(size / 121)}1]`),
    'a bracket that never closes': (size) => call('['.repeat(size)),
    'an object that never closes': (size) => call('{"a":'.repeat(size / 5)),
    'a string that never closes': (size) => call(`"${'\\\\'.repeat(size / 2)}`).slice(0, -3),
    'a few long names, alike to their last letter': (size) => call(`{${namesOf(8, (i) => 'k'.repeat(size / 8) + i)}}`),
    'more long names, alike to their last letter': (size) => call(`{${namesOf(64, (i) => 'k'.repeat(size / 64) + i)}}`),
    'long names with escapes': (size) => call(`{${namesOf(64, (i) => '\\u006b'.repeat(size / 384) + i)}}`),
    'many names': (size) => call(`{${namesOf(size / 128, (i) => `k${i}`)}}`),
    'many names that look like indices': (size) => call(`{${namesOf(size / 128, (i) => `${i}`)}}`),
    'many small objects': (size) => call(`[${`{${namesOf(8, (i) => `k${i}`)}},`.repeat(size / 1024)}1]`),
    'many members of _meta': (size) =>
      `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{${namesOf(size / 128, (i) => `io.modelcontextprotocol/k${i}`)}}}}`,
    'many unknown members of params': (size) =>
      `{"jsonrpc":"2.0","id":1,"method":"ping","params":{${namesOf(size / 128, (i) => `ｋ${i}`)}}}`,
  };
  const endsAtDepth = ['a bracket that never closes', 'an object that never closes'];
  for (const [name, documentOf] of Object.entries(documents)) {
    const small = await counter.count(documentOf(2 ** 15));
    const large = await counter.count(documentOf(2 ** 19));
    const read = endsAtDepth.includes(name) ? prefix + maxDepth : Buffer.byteLength(documentOf(2 ** 19));
    t.ok(large >= read / 4, `${name}: ${large} steps for ${read} bytes that are read`);
    // Where short runs are walked by words, and where V8 loses counts, a byte takes fewer; a reader that goes back would take 256 times as many.
    t.ok(large <= small * 16 * 2, `${name}: ${small} and ${large} steps`);
  }
});

t.test('no document takes more steps than a few for each of its bytes', async (t) => {
  const piece = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '\\',
    'u0041',
    '1',
    'e',
    '.',
    ' ',
    'k',
    'é',
    '"a":',
    '{"a":',
    'null,',
  );
  const repeated = fc.tuple(
    fc.array(piece, { minLength: 1, maxLength: 6 }),
    fc.constantFrom('"', '[', '[[', '{"a":[', ''),
  );
  await fc.assert(
    fc.asyncProperty(repeated, async ([pieces, opening]) => {
      const unit = pieces.join('');
      const body = call(opening + unit.repeat(Math.ceil(4096 / unit.length)));
      const steps = await counter.count(body);
      t.ok(steps >= prefix / 4 && steps < 2000 + 40 * Buffer.byteLength(body), JSON.stringify([opening, unit]));
    }),
    { numRuns: 200 },
  );
});

t.test('reading stops where the limit is passed', async (t) => {
  // V8 now and then loses the counts of a function that it compiles meanwhile; without a limit it would be 1000 and 5 times as many.
  const alike = (one: number, other: number) => Math.max(one, other) < 1.1 * Math.min(one, other);
  const deep = await counter.count(call('['.repeat(1000)));
  t.ok(deep >= maxDepth + prefix / 4, `${deep} steps for ${maxDepth} levels`);
  t.ok(alike(await counter.count(call('['.repeat(1_000_000))), deep), 'depth');
  const wide = await counter.count(call(`{${namesOf(20_000, (index) => `k${index}`)}}`));
  t.ok(wide >= maxKeys + prefix / 4, `${wide} steps for ${maxKeys} names`);
  t.ok(alike(await counter.count(call(`{${namesOf(100_000, (index) => `k${index}`)}}`)), wide), 'names');
});
