// The scanner against JSON.parse, against hostile documents, and against its own cost.
import fc from 'fast-check';
import t from 'tap';
import { GatewayError } from '../../src/errors.ts';
import { compileShape, maxDepth, maxKeys, scanJson } from '../../src/mcp/scanner.ts';

const open = compileShape(new Map([['method', { slot: 0 }]]), false);

function scan(text: string | Buffer): readonly number[] {
  return scanJson(Buffer.from(text), open, 1);
}

/** The code and reason of the refusal, or `accepted`. */
function outcome(text: string | Buffer): string {
  try {
    scan(text);
    return 'accepted';
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    return `${error.code} ${error.reason}`;
  }
}

function nested(levels: number, open: string, close: string): string {
  return open.repeat(levels) + close.repeat(levels);
}

t.test('what is not JSON in strict UTF-8 is refused', (t) => {
  const refused: [string, string | Buffer, string][] = [
    ['nothing', '', 'empty'],
    ['white space only', ' \n', 'truncated'],
    ['a byte order mark', '\ufeff{}', 'syntax'],
    ['UTF-16', Buffer.from('{}', 'utf16le'), 'syntax'],
    ['an overlong encoding', Buffer.from([0x22, 0xc0, 0xaf, 0x22]), 'utf8'],
    ['an encoded surrogate', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), 'utf8'],
    ['a cut-off character', Buffer.from([0x22, 0xe2, 0x82, 0x22]), 'utf8'],
    ['a lone high surrogate', '"\\ud800"', 'surrogate'],
    ['a lone low surrogate', '"\\udc00"', 'surrogate'],
    ['surrogates the wrong way round', '"\\udc00\\ud800"', 'surrogate'],
    ['a high surrogate before another escape', '"\\ud800\\n"', 'surrogate'],
    ['a high surrogate before a letter', '"\\ud800x"', 'surrogate'],
    ['NaN', 'NaN', 'syntax'],
    ['Infinity', '-Infinity', 'syntax'],
    ['an infinite number', '1e400', 'number_range'],
    ['an infinite number written out', `1${'0'.repeat(400)}`, 'number_range'],
    ['a leading zero', '01', 'trailing_bytes'],
    ['a leading plus', '+1', 'syntax'],
    ['a bare minus', '-', 'syntax'],
    ['a number that ends in its point', '1.', 'syntax'],
    ['a number that begins with its point', '.5', 'syntax'],
    ['a number without its exponent', '1e+', 'syntax'],
    ['a hexadecimal number', '0x10', 'trailing_bytes'],
    ['trailing bytes', '{} {}', 'trailing_bytes'],
    ['a trailing NUL', '{}\0', 'trailing_bytes'],
    ['a trailing comma in an object', '{"a":1,}', 'syntax'],
    ['a trailing comma in an array', '[1,]', 'syntax'],
    ['a missing comma', '[1 2]', 'syntax'],
    ['a comment', '{/**/}', 'syntax'],
    ['single quotes', "{'a':1}", 'syntax'],
    ['a bare name', '{a:1}', 'syntax'],
    ['a cut-off literal', 'tru', 'syntax'],
    ['a literal in capitals', 'True', 'syntax'],
    ['a cut-off string', '"abc', 'truncated'],
    ['a string that ends in its escape', '"abc\\', 'truncated'],
    ['an unknown escape', '"\\x41"', 'escape'],
    ['a short unicode escape', '"\\u00"', 'escape'],
    ['a newline in a string', '"a\nb"', 'control'],
    ['a NUL in a string', '"a\0b"', 'control'],
    ['a vertical tab as white space', '[\v1]', 'syntax'],
    ['a no-break space as white space', '[\u00a01]', 'syntax'],
  ];
  for (const [name, text, reason] of refused) t.equal(outcome(text), `invalid_json ${reason}`, name);
  t.end();
});

t.test('every form of JSON is accepted', (t) => {
  const accepted = [
    ' \t\r\n{} ',
    '[]',
    '"\\ud83d\\ude00 \\u0000 \\/ 😀 \u2028"',
    '-0.0e-10',
    '1e308',
    `0.${'1'.repeat(1000)}`,
    '12345678901234567890',
    '[null, true, false]',
    '{"":{"":""}}',
    '{"__proto__":1,"constructor":{"prototype":2}}',
  ];
  for (const text of accepted)
    t.equal(
      outcome(text),
      'accepted',
      JSON.stringify(text)
        .slice(0, 40)
        .replace(/\P{ASCII}/gu, '?'),
    );
  t.end();
});

t.test('a name that occurs twice is refused, however it is written and however deep', (t) => {
  const many = Array.from({ length: 20 }, (_, index) => `"k${index}":${index}`).join(',');
  const twice = [
    '{"a":1,"a":1}',
    '{"a":1,"\\u0061":1}',
    '{"\\u0061":1,"a":1}',
    '{"\\u0061":1,"\\u0061":1}',
    '{"é":1,"\\u00e9":1}',
    '{"😀":1,"\\ud83d\\ude00":1}',
    '[[{"x":{"a":1,"b":2,"a":3}}]]',
    '{"__proto__":1,"__proto__":2}',
    '{"":1,"":2}',
    `{${many},"k0":1}`,
    `{${many},"k19":1}`,
    `{${many},"\\u006b7":1}`,
    `{"\\u006b7":1,${many}}`,
    '{"/":1,"\\/":2}',
  ];
  for (const text of twice) t.equal(outcome(text), 'invalid_jsonrpc duplicate_key', text.slice(0, 60));
  const once = [
    `{${many}}`,
    '{"a":{"a":{"a":1}},"b":{"a":1}}',
    '[{"a":1},{"a":1}]',
    '{"a":1,"A":2,"á":3,"a\u0301":4}',
    '{"1":1,"01":2,"k1":3}',
  ];
  for (const text of once) t.equal(outcome(text), 'accepted', text.slice(0, 60));
  t.end();
});

t.test('another spelling of a noted name is refused, elsewhere it is an ordinary name', (t) => {
  for (const name of ['Method', 'METHOD', 'methoD', 'ｍethod', '\\u004dethod']) {
    t.equal(outcome(`{"${name}":1}`), 'invalid_jsonrpc member_spelling', name);
    t.equal(outcome(`{"x":{"${name}":1}}`), 'accepted', `${name} in another object`);
  }
  t.equal(outcome('{"methods":1,"method ":2}'), 'accepted');
  t.end();
});

t.test('depth and names are limited, and reading stops at the limit', (t) => {
  t.equal(outcome(nested(maxDepth, '[', ']')), 'accepted');
  t.equal(outcome(nested(maxDepth + 1, '[', ']')), 'invalid_json depth');
  t.equal(outcome(`${nested(maxDepth, '{"a":', '}').replace('{"a":}', '{}')}`), 'accepted');
  t.equal(outcome('{"a":'.repeat(100_000)), 'invalid_json depth');
  t.equal(outcome('['.repeat(100_000)), 'invalid_json depth');
  const names = (count: number) => `{${Array.from({ length: count }, (_, index) => `"${index}":0`).join(',')}}`;
  t.equal(outcome(names(maxKeys)), 'accepted');
  t.equal(outcome(names(maxKeys + 1)), 'invalid_json keys');
  t.equal(outcome(`[${Array.from({ length: 2 * maxKeys }, () => '{"a":0}').join(',')}]`), 'invalid_json keys');
  t.end();
});

t.test('the spans are the bytes of the value', (t) => {
  const text = '{"x":1, "method" : {"a":[1,2]} , "y":2}';
  const [start, end] = scan(text);
  t.equal(text.slice(start, end), '{"a":[1,2]}');
  t.same(scan('{"x":{"method":1}}'), [-1, -1], 'not those of a deeper one');
  t.same(scan('[{"method":1}]'), [-1, -1]);
  t.end();
});

t.test('whatever is accepted, JSON.parse accepts; what it reads and is within the limits is accepted', (t) => {
  const document = fc.json({ maxDepth: 6 });
  const spaced = fc.jsonValue({ maxDepth: 4 }).map((value) => JSON.stringify(value, undefined, 2));
  fc.assert(
    fc.property(
      fc.oneof(document, spaced),
      (text) => outcome(text) === 'accepted' || !text.isWellFormed() || /\\ud[89a-f]/i.test(text),
    ),
  );
  fc.assert(
    fc.property(mutated(), (bytes) => {
      if (outcome(bytes) !== 'accepted') return;
      JSON.parse(bytes.toString('utf8'));
    }),
    { numRuns: 3000 },
  );
  t.pass('no counterexample');
  t.end();
});

t.test('a document with a name twice is never accepted', (t) => {
  const name = fc.string({ unit: fc.constantFrom('a', 'b', 'é', '1', '/', '"', '\\'), maxLength: 3 });
  const written = fc
    .tuple(name, fc.boolean())
    .map(([text, escaped]) => ({ text, json: escaped ? escapeAll(text) : JSON.stringify(text) }));
  fc.assert(
    fc.property(fc.array(written, { maxLength: 24 }), (names) => {
      const distinct = new Set(names.map(({ text }) => text)).size === names.length;
      return (outcome(`{${names.map(({ json }) => `${json}:0`).join(',')}}`) === 'accepted') === distinct;
    }),
    { numRuns: 1000 },
  );
  t.pass('no counterexample');
  t.end();
});

t.test('sixteen times the bytes do not take much more than sixteen times the work', (t) => {
  const documents: Record<string, (size: number) => string> = {
    'a long string': (size) => `"${'x'.repeat(size)}"`,
    'many escapes': (size) => `"${'\\u0041'.repeat(size / 6)}"`,
    'many numbers': (size) => `[${'1,'.repeat(size / 2)}1]`,
    'one long number': (size) => `0.${'1'.repeat(size)}`,
    'white space': (size) => `${' '.repeat(size)}1`,
    'long names alike to their last letter': (size) =>
      `{${Array.from({ length: 64 }, (_, index) => `"${'k'.repeat(size / 64)}${index}":0`).join(',')}}`,
  };
  for (const [name, documentOf] of Object.entries(documents)) {
    const small = leastCpuMicroseconds(documentOf(2 ** 16));
    const large = leastCpuMicroseconds(documentOf(2 ** 20));
    t.ok(large < Math.max(small, 100) * 16 * 6, `${name}: ${(large / small).toFixed(1)} times the work`);
  }
  t.end();
});

/** The least of several runs, so that what else the machine does is left out; a quadratic scan would take 256 times as long. */
function leastCpuMicroseconds(text: string): number {
  const bytes = Buffer.from(text);
  let least = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 5; run++) {
    const before = process.cpuUsage();
    scanJson(bytes, open, 1);
    const { user, system } = process.cpuUsage(before);
    least = Math.min(least, user + system);
  }
  return least;
}

function escapeAll(text: string): string {
  return `"${[...text].map((character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"`;
}

/** Valid documents with a few bytes overwritten, cut out or doubled. */
function mutated(): fc.Arbitrary<Buffer> {
  const telling = fc.constantFrom(...Buffer.from('{}[]",:\\u0eE+-.truefalsn \t\n\0/\u00ff'));
  const edit = fc.record({
    at: fc.nat(),
    how: fc.constantFrom('overwrite', 'cut', 'double'),
    byte: fc.oneof(telling, fc.nat(255)),
  });
  return fc.tuple(fc.json({ maxDepth: 4 }), fc.array(edit, { minLength: 1, maxLength: 3 })).map(([text, edits]) => {
    let bytes = Buffer.from(text);
    for (const { at, how, byte } of edits) {
      const index = at % (bytes.length || 1);
      if (how === 'overwrite') bytes[index] = byte;
      else
        bytes = Buffer.concat([
          bytes.subarray(0, index + (how === 'double' ? 1 : 0)),
          bytes.subarray(index + (how === 'cut' ? 1 : 0)),
        ]);
    }
    return bytes;
  });
}
