// The scanner against JSON.parse, against hostile documents, and against its own cost.
import fc from 'fast-check';
import t from 'tap';
import { GatewayError } from '../../src/errors.ts';
import { maxDepth, maxKeys, scanJson } from '../../src/json/scanner.ts';
import { compileShape } from '../../src/json/shape.ts';

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

/** For generated documents. */
const strings = [
  '"method"',
  '"Method"',
  '"\\u006dethod"',
  '"\uff4dethod"',
  '"a"',
  '"\\u0061"',
  '""',
  '"\\ud83d\\ude00"',
  '"\\ud83d"',
  '"\\ude00"',
  '"__proto__"',
  '"1"',
];
const numbers = ['0', '-0', '1', '1e400', '-1E-400', '12345678901234567890', '1.5e+3', '0.10'];
const scalars = [...strings, ...numbers, 'true', 'false', 'null'];

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

t.test(
  'what JSON.parse does not read alike is never accepted, whatever tokens and bytes stand behind each other',
  (t) => {
    let accepted = 0;
    fc.assert(
      fc.property(fc.oneof(soup(), looseDocument(), rawBytes()), (bytes) => {
        if (outcome(bytes) !== 'accepted') return;
        accepted++;
        const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
        const parsed: unknown = JSON.parse(text);
        const [start = -1, end] = scan(bytes);
        const isObject = typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed);
        t.equal(start !== -1, isObject && Object.hasOwn(parsed, 'method'));
        if (start !== -1) {
          t.strictSame(JSON.parse(bytes.toString('utf8', start, end)), (parsed as { method: unknown }).method);
        }
      }),
      { numRuns: 6000 },
    );
    t.ok(accepted > 500, `${accepted} documents were accepted`);
    t.end();
  },
);

t.test('a control, an escape or a quote at any place of a long string is seen', (t) => {
  const wrong: Record<string, string> = {
    '\0': 'control',
    '\n': 'control',
    '\u001f': 'control',
    '\\x': 'escape',
    '\\ud800': 'surrogate',
    '\\udc00\\ud800': 'surrogate',
    '"x': 'syntax',
  };
  const right = ['\\n', '\\"', '\\\\', '\\ud83d\\ude00', '\u007f', ' ', '\u0080', 'é', '😀', '', '","'];
  // Both sides of the places from which a string is skipped by words and then natively, on each alignment of its first byte.
  for (const before of [...range(0, 140), ...range(256, 290)]) {
    const pad = 'é'.repeat(before % 4) + 'x'.repeat(before);
    for (let shift = 0; shift < 4; shift++) {
      for (const after of ['', 'xx', 'x'.repeat(200)]) {
        const around = (what: string) => Buffer.from(`${' '.repeat(shift)}["${pad}${what}${after}"]`);
        for (const [what, reason] of Object.entries(wrong)) {
          const expected = `invalid_json ${reason}`;
          const found = outcome(around(what));
          if (found !== expected) t.equal(found, expected, JSON.stringify([what, before, shift, after.length]));
        }
        for (const what of right) {
          const found = outcome(around(what));
          if (found !== 'accepted') t.equal(found, 'accepted', JSON.stringify([what, before, shift, after.length]));
        }
      }
    }
  }
  t.pass('at every place');
  t.end();
});

t.test(
  'of the ASCII characters only the controls, the quote and the backslash end a run, wherever they stand in a word',
  (t) => {
    for (const byte of range(0, 127)) {
      const isPlain = byte >= 0x20 && byte !== 0x22 && byte !== 0x5c;
      for (const before of range(16, 24)) {
        // Neighbours that differ from a special byte by one bit.
        for (const pad of ['x', '#', ']', '\u00a2']) {
          const bytes = Buffer.from(`"${pad.repeat(before)}?${pad.repeat(9)}"`);
          bytes[bytes.indexOf('?')] = byte;
          if ((outcome(bytes) === 'accepted') !== isPlain) t.fail(JSON.stringify([byte, before, pad, outcome(bytes)]));
        }
      }
    }
    t.pass('at every place');
    t.end();
  },
);

t.test('long strings are accepted where JSON.parse accepts them, on any alignment, and their spans are theirs', (t) => {
  const counts = { accepted: 0, refused: 0 };
  fc.assert(
    fc.property(longStrings(), fc.nat(7), ({ strings, spaces }, shift) => {
      const text = `{"x":[${strings.join(`,${spaces}`)}],${spaces}"method":${strings.at(-1)}}`;
      const bytes = Buffer.from('.'.repeat(shift) + text).subarray(shift);
      const found = outcome(bytes);
      counts[found === 'accepted' ? 'accepted' : 'refused']++;
      let parsed: { method: string };
      try {
        parsed = JSON.parse(text);
      } catch {
        return found.startsWith('invalid_json ');
      }
      // JSON.stringify escapes lone surrogates, and no other.
      if (/\\ud[89a-f]/.test(JSON.stringify(parsed))) return found === 'invalid_json surrogate';
      const [start, end] = scanJson(bytes, open, 1);
      return JSON.parse(bytes.toString('utf8', start, end)) === parsed.method;
    }),
    { numRuns: 3000 },
  );
  t.ok(counts.accepted > 500 && counts.refused > 500, JSON.stringify(counts));
  t.end();
});

t.test('what JSON.parse reads is refused only for the reasons that are documented', (t) => {
  let stricter = 0;
  fc.assert(
    fc.property(fc.oneof(soup(), looseDocument(), rawBytes()), (bytes) => {
      try {
        JSON.parse(bytes.toString('utf8'));
      } catch {
        return true;
      }
      const result = outcome(bytes);
      if (result !== 'accepted') stricter++;
      return /^accepted$|^invalid_json (utf8|surrogate|number_range|depth|keys)$|^invalid_jsonrpc (duplicate_key|member_spelling)$/.test(
        result,
      );
    }),
    { numRuns: 6000 },
  );
  t.ok(stricter > 50, `${stricter} documents were refused`);
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

function escapeAll(text: string): string {
  return `"${[...text].map((character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"`;
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

/** Strings of long runs with now and then a byte that ends one, and the white space between them. */
function longStrings(): fc.Arbitrary<{ strings: string[]; spaces: string }> {
  const run = fc.tuple(
    fc.constantFrom('x', ' ', 'é', '😀', '\u007f'),
    fc.oneof(fc.nat(12), fc.integer({ min: 10, max: 40 }), fc.integer({ min: 250, max: 300 })),
  );
  const end = fc.oneof(
    { arbitrary: fc.constantFrom('\\n', '\\"', '\\\\', '\\u0041', '\\ud83d\\ude00', ''), weight: 24 },
    { arbitrary: fc.constantFrom('\n', '\0', '\u001f', '"', '\\', '\\x', '\\u12', '\\ud83d'), weight: 1 },
  );
  const string = fc
    .array(fc.tuple(run, end), { maxLength: 6 })
    .map((parts) => `"${parts.map(([[letter, times], tail]) => letter.repeat(times) + tail).join('')}"`);
  return fc.record({
    strings: fc.array(string, { minLength: 1, maxLength: 4 }),
    spaces: fc.constantFrom('', '\n', '\r\n\t '),
  });
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

/** Tokens, right and wrong ones, in any order. */
function soup(): fc.Arbitrary<Buffer> {
  const wrong = [
    '01',
    '+1',
    '.5',
    '1.',
    '-',
    'NaN',
    "'a'",
    '"\\x"',
    '"\t"',
    '/**/',
    '\ufeff',
    '\u00a0',
    '\0',
    'tru',
    '"\\u00"',
  ];
  const marks = ['{', '}', '[', ']', ',', ':', ' ', '\n'];
  const token = fc.oneof(
    { arbitrary: fc.constantFrom(...marks), weight: 6 },
    { arbitrary: fc.constantFrom(...scalars), weight: 4 },
    { arbitrary: fc.constantFrom(...wrong), weight: 1 },
  );
  return fc.array(token, { maxLength: 10 }).map((tokens) => Buffer.from(tokens.join('')));
}

/** Documents as a careless writer makes them: names twice and in other spellings, white space, odd numbers and escapes, now and then one mark too many. */
function looseDocument(): fc.Arbitrary<Buffer> {
  const space = fc.constantFrom('', '', '', ' ', '\n\t');
  const { value } = fc.letrec<{ value: string; list: string; object: string }>((tie) => ({
    value: fc.oneof({ maxDepth: 3 }, fc.constantFrom(...scalars), tie('list'), tie('object')),
    list: fc
      .tuple(fc.array(tie('value'), { maxLength: 3 }), space)
      .map(([items, gap]) => `[${gap}${items.join(`${gap},`)}]`),
    object: fc
      .tuple(fc.array(fc.tuple(fc.constantFrom(...strings), tie('value')), { maxLength: 3 }), space)
      .map(
        ([members, gap]) => `{${members.map(([name, inner]) => `${name}${gap}:${gap}${inner}`).join(`,${gap}`)}${gap}}`,
      ),
  }));
  const tail = fc.constantFrom('', '', '', '', ' ', ',', '}', 'x');
  return fc.tuple(space, value, tail).map((parts) => Buffer.from(parts.join('')));
}

/** A string of any bytes: what is no UTF-8 among them. */
function rawBytes(): fc.Arbitrary<Buffer> {
  const byte = fc.oneof(
    { arbitrary: fc.constantFrom(0x61, 0x5c, 0x75, 0x30, 0x64, 0x38, 0x22, 0x2f), weight: 3 },
    { arbitrary: fc.constantFrom(0xc3, 0xa9, 0xed, 0xa0, 0x80, 0xf0, 0x9f, 0xbf, 0xc0, 0x1f, 0x7f), weight: 2 },
    { arbitrary: fc.nat(255), weight: 1 },
  );
  return fc
    .array(byte, { maxLength: 8 })
    .map((bytes) => Buffer.concat([Buffer.from('"'), Buffer.from(bytes), Buffer.from('"')]));
}
