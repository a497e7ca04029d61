// The chain, and what verification says of every way to tamper with it.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { createEventEncoder } from '../../src/audit/encode.ts';
import { type ChainHead, chainLines, genesis, parseLink } from '../../src/audit/hash-chain.ts';
import { verifyChain } from '../../src/audit/verify.ts';
import { breakOf, eventOf } from './support.ts';

const encode = createEventEncoder('gw');

function bodies(from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, index) => encode(eventOf(`r${from + index}`)));
}

type Testdir = (typeof t)['testdir'];

function chain(from: number, to: number, head: ChainHead = genesis): { lines: string[]; head: ChainHead } {
  const chained = chainLines(head, bodies(from, to));
  return { lines: chained.lines.toString().split('\n').slice(0, -1), head: chained.head };
}

/** A line changed and given a fresh hash of its own, as a careful forger would. */
function forge(line: string, change: (text: string) => string): string {
  const linked = change(line.slice(0, line.indexOf(',"hash"')));
  return `${linked},"hash":"${createHash('sha256').update(linked).digest('hex')}"}`;
}

function write(t: { testdir: Testdir }, name: string, lines: readonly string[], end = '\n'): string {
  const path = join(t.testdir({}), name);
  fs.writeFileSync(path, lines.length === 0 ? '' : lines.join('\n') + end);
  return path;
}

t.test('a line is hashed up to ,"hash" and names its predecessor; the first begins at 64 zeros', (t) => {
  const { lines } = chain(1, 3);
  let prev = '0'.repeat(64);
  for (const [index, line] of lines.entries()) {
    const record = JSON.parse(line);
    t.equal(record.seq, index + 1);
    t.equal(record.prev, prev);
    t.equal(
      record.hash,
      createHash('sha256')
        .update(line.slice(0, line.indexOf(',"hash"')))
        .digest('hex'),
    );
    prev = record.hash;
  }
  t.end();
});

t.test('lines chained in batches are the lines chained at once', (t) => {
  const once = chain(1, 6).lines;
  const first = chain(1, 2);
  const second = chain(3, 6, first.head);
  t.strictSame([...first.lines, ...second.lines], once);
  t.strictSame(chainLines(first.head, []), { lines: Buffer.alloc(0), head: first.head });
  for (const scratchBytes of [100, 1_000_000]) {
    const { lines } = chainLines(genesis, bodies(1, 6), Buffer.alloc(scratchBytes, 'x'));
    t.equal(lines.toString(), `${once.join('\n')}\n`, `with ${scratchBytes} bytes to write in`);
  }
  t.end();
});

t.test('what is no audit line is not read as one', (t) => {
  const good = chain(1, 1).lines[0] ?? '';
  t.equal(parseLink(Buffer.from(good))?.intact, true);
  for (const bad of [
    '',
    '{}',
    '[]',
    'null',
    good.slice(0, -1),
    `${good} `,
    good.slice(1),
    good.replace('"seq":1', '"seq":"1"'),
    good.replace('"seq":1', '"seq":1.5'),
    good.replace('"seq":1', '"seq":0'),
  ]) {
    t.equal(parseLink(Buffer.from(bad)), undefined);
  }
  t.end();
});

t.test('an untouched chain holds, over rotated files in any order', async (t) => {
  const { lines, head } = chain(1, 9);
  const dir = t.testdir({
    'a.jsonl': `${lines.slice(0, 4).join('\n')}\n`,
    'b.jsonl': `${lines.slice(4, 6).join('\n')}\n`,
    'c.jsonl': `${lines.slice(6).join('\n')}\n`,
    'empty.jsonl': '',
  });
  const [a, b, c, empty] = ['a', 'b', 'c', 'empty'].map((name) => join(dir, `${name}.jsonl`)) as [
    string,
    string,
    string,
    string,
  ];
  t.match(await verifyChain([c, a, empty, b, a]), {
    valid: true,
    files: [a, b, c],
    records: 9,
    firstSeq: 1,
    lastSeq: 9,
    lastHash: head.hash,
    break: undefined,
    notes: [],
  });
  t.match(await verifyChain([empty]), { valid: false, records: 0, break: undefined });
  t.match(await breakOf(a, c), /records are missing: seq 7 after seq 4/);
  t.match(await breakOf(b, c), /begins at seq 5: earlier records are missing/);
  await t.rejects(verifyChain([join(dir, 'none')]), { message: /\/none: there is no such file$/ });
});

t.test('each kind of tampering is found, with its file and line', async (t) => {
  const { lines } = chain(1, 6);
  const [one, two, three, four, five, six] = lines as [string, string, string, string, string, string];
  const foreign = chain(3, 3, { seq: 2, hash: 'f'.repeat(64) }).lines[0] ?? '';
  const cases: [string, string[], number, RegExp][] = [
    ['a deleted record', [one, two, four, five, six], 3, /records are missing: seq 4 after seq 2/],
    ['the first record deleted', [two, three, four], 1, /begins at seq 2/],
    ['an altered record', [one, two.replace('"r2"', '"rX"'), three], 2, /altered/],
    [
      'one flipped byte of a hash',
      [one, two.replace(/.(?="\}$)/, (digit) => (digit === '0' ? '1' : '0')), three],
      2,
      /altered/,
    ],
    [
      'an altered record with a fresh hash',
      [one, forge(two, (text) => text.replace('"r2"', '"rX"')), three],
      3,
      /prev is not/,
    ],
    [
      'a deletion with renumbering',
      [one, forge(three, (text) => text.replace('"seq":3', '"seq":2')), four],
      2,
      /prev is not/,
    ],
    ['two records exchanged', [one, three, two, four], 2, /records are missing/],
    ['a record twice', [one, two, two, three], 3, /repeated or out of order/],
    ['an inserted record', [one, two, foreign, three], 3, /prev is not/],
    ['an inserted line that is no record', [one, 'hello', two], 2, /not an audit record/],
    ['an inserted empty line', [one, '', two], 2, /not an audit record/],
    ['a record cut in the middle of the file', [one, two.slice(0, 40), three], 2, /not an audit record/],
    ['the chain begun anew', [one, two, ...chain(1, 2).lines], 3, /starts again/],
    ['carriage returns', [one, `${two}\r`, three], 2, /not an audit record/],
  ];
  for (const [name, tampered, line, reason] of cases) {
    const path = write(t, 'audit.jsonl', tampered);
    const report = await verifyChain([path]);
    t.match(report, { valid: false, break: { file: path, line, reason } }, name);
  }
});

t.test(
  'files of two sinks are two chains; where one begins too late, the reason says that there may be two',
  async (t) => {
    const hint = /; the files may be of two chains: each sink has one of its own/;
    const whole = chain(1, 4).lines;
    const foreign = chain(5, 6, { seq: 4, hash: 'f'.repeat(64) }).lines;
    const [a, b] = ['a.jsonl', 'b.jsonl'].map((name) => join(t.testdir({}), name)) as [string, string];
    for (const [name, lines] of Object.entries({ later: whole.slice(1, 3), foreign })) {
      fs.writeFileSync(a, `${whole.join('\n')}\n`);
      fs.writeFileSync(b, `${lines.join('\n')}\n`);
      const { break: broken } = await verifyChain([a, b]);
      t.match(broken, { file: b, line: 1, reason: hint }, name);
    }
    fs.writeFileSync(b, `${chain(1, 3).lines.join('\n')}\n`);
    t.match(await verifyChain([a, b]), { valid: true, records: 7, chains: [{ files: [a] }, { files: [b] }] });
    fs.appendFileSync(a, `${whole[3]}\n`);
    const within = await breakOf(a);
    t.match(within, /repeated or out of order/);
    t.notMatch(within, hint, 'one file');
  },
);

t.test('a byte that is not UTF-8 in place of another is found', async (t) => {
  const line = chainLines(genesis, [encode(eventOf('r1', { rule: '\ufffd' }))]).lines.toString();
  const path = write(t, 'audit.jsonl', []);
  const bytes = Buffer.from(line.replaceAll('\\ufffd', '\ufffd'));
  const at = bytes.indexOf(Buffer.from('\ufffd'));
  fs.writeFileSync(path, Buffer.concat([bytes.subarray(0, at), Buffer.from([0xff]), bytes.subarray(at + 3)]));
  t.match(await breakOf(path), /altered/);
});

t.test('a torn last line is a note in the newest file and a break in any other', async (t) => {
  const { lines } = chain(1, 4);
  const dir = t.testdir({
    'old.jsonl': `${lines[0]}\n${lines[1]?.slice(0, 50)}`,
    'new.jsonl': `${lines[2]}\n${lines[3]}\n`,
    'live.jsonl': `${lines[0]}\n${lines[1]?.slice(0, 50)}`,
    'whole.jsonl': `${lines[0]}\n${lines[1]}`,
  });
  t.match(await verifyChain([join(dir, 'live.jsonl')]), {
    valid: true,
    records: 1,
    notes: [/:2: the last line is torn \(50 bytes\)/],
  });
  t.match(await verifyChain([join(dir, 'whole.jsonl')]), { valid: true, records: 2, notes: [] });
  t.match((await verifyChain([join(dir, 'old.jsonl'), join(dir, 'new.jsonl')])).break, {
    line: 2,
    reason: /not an audit record/,
  });
});

t.test('a beginning behind seq 1 is whole only with the retention record of exactly what is gone', async (t) => {
  const gone = chain(1, 3).head;
  const retention = (
    lastSeq: number,
    lastHash: string,
    reason = 'retention',
    stage: 'config' | 'completed' = 'config',
  ) => encode(eventOf('k', { stage, reason, detail: { deleted: { file: 'x', firstSeq: 1, lastSeq, lastHash } } }));
  const withRecord = (record: string) =>
    write(t, 'audit.jsonl', [
      chainLines(gone, [...bodies(4, 5), record])
        .lines.toString()
        .trimEnd(),
    ]);
  t.match(await verifyChain([withRecord(retention(3, gone.hash))]), {
    valid: true,
    firstSeq: 4,
    notes: [/records up to seq 3 were deleted by retention, as seq 6 states/],
  });
  for (const wrong of [
    retention(2, gone.hash),
    retention(3, 'f'.repeat(64)),
    retention(3, gone.hash, 'other'),
    retention(3, gone.hash, 'retention', 'completed'),
  ]) {
    t.match(await breakOf(withRecord(wrong)), /begins at seq 4/);
  }
});
