// Reading of audit logs: the order of files, what is no record, requests without an end, groups, and a file that is rotated while it is followed.
import fs from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { createEventEncoder } from '../../src/audit/encode.ts';
import type { AuditEvent } from '../../src/audit/event.ts';
import { chainLines, genesis } from '../../src/audit/hash-chain.ts';
import { followFile } from '../../src/audit/reading/follow.ts';
import { readAuditLogs } from '../../src/audit/reading/reader.ts';
import { type AuditRecord, parseRecord } from '../../src/audit/reading/record.ts';
import { createRequestCounts } from '../../src/audit/reading/request-counts.ts';
import { pairRequests } from '../../src/audit/reading/requests.ts';
import { eventOf, someTime } from './support.ts';

const encode = createEventEncoder('gw');

function textOf(events: readonly AuditEvent[], seq = 0): string {
  return chainLines({ ...genesis, seq }, events.map(encode)).lines.toString();
}

function recordOf(id: string, more: Partial<AuditEvent> = {}): AuditRecord {
  return parseRecord(Buffer.from(textOf([eventOf(id, more)]).trimEnd()))!;
}

async function read(paths: string[], stdin: readonly Buffer[] = []) {
  const ids: string[] = [];
  async function* chunks() {
    yield* stdin;
  }
  const report = await readAuditLogs({ paths, stdin: chunks(), visit: ({ id }) => ids.push(id) });
  return { ids, ...report };
}

t.test(
  'files are read by the time of their first record, each once, compressed ones and standard input too',
  async (t) => {
    const oldest = textOf([eventOf('r1'), eventOf('r2')]);
    const middle = textOf([eventOf('r3', { time: someTime + 1 })], 2);
    const newest = textOf([eventOf('r4', { time: someTime + 2 })], 3);
    const folder = t.testdir({ 'audit.jsonl': newest, 'audit-2.jsonl': middle, 'audit-1.jsonl.gz': gzipSync(oldest) });
    const at = (name: string) => join(folder, name);
    const found = await read(
      ['-', at('audit.jsonl'), at('audit-1.jsonl.gz'), at('audit-2.jsonl'), at('audit.jsonl')],
      [Buffer.from(textOf([eventOf('r5')], 4))],
    );
    t.strictSame(found, { ids: ['r1', 'r2', 'r3', 'r4', 'r5'], records: 5, foreign: 0, torn: 0, notes: [] });
  },
);

t.test(
  'a foreign line, a line without end and a torn last line are counted and named, and the rest is read',
  async (t) => {
    const lines = textOf([eventOf('r1'), eventOf('r2'), eventOf('r3')]).split('\n');
    const text = [
      lines[0],
      '{"level":30,"msg":"not ours"}',
      'x'.repeat(1_200_000),
      lines[1],
      '',
      lines[2]!.slice(0, 40),
    ];
    const path = join(t.testdir({ 'audit.jsonl': text.join('\n') }), 'audit.jsonl');
    const { ids, foreign, torn, notes } = await read([path]);
    t.strictSame({ ids, foreign, torn }, { ids: ['r1', 'r2'], foreign: 3, torn: 1 });
    t.strictSame(notes, [
      `${path}:2: not an audit record`,
      `${path}:6: the last line is torn (40 bytes)`,
      `${path}: 3 lines are no audit records`,
    ]);
  },
);

t.test(
  'a whole last line without its newline is a record; a damaged compressed file is named, and the others are read',
  async (t) => {
    const whole = textOf([eventOf('r1')]).trimEnd();
    const folder = t.testdir({ 'a.jsonl': whole, 'b.jsonl.gz': gzipSync(textOf([eventOf('r2')])).subarray(0, 40) });
    const { ids, torn, notes } = await read([join(folder, 'b.jsonl.gz'), join(folder, 'a.jsonl')]);
    t.strictSame({ ids, torn }, { ids: ['r1'], torn: 1 });
    t.match(notes, [/b\.jsonl\.gz: the compressed file is damaged/]);
  },
);

t.test('a file that cannot be read is an error that names it', async (t) => {
  const folder = t.testdir({});
  await t.rejects(read([join(folder, 'none.jsonl')]), { message: /none\.jsonl: there is no such file$/ });
  await t.rejects(read([folder]), { message: /: it is not a regular file$/ });
});

t.test('a record with members of other types, as an altered log may have, is none', (t) => {
  const line = textOf([eventOf('r1', { route: 'mcp' })]).trimEnd();
  for (const altered of ['"route":7', '"route":"mcp","principal":"x"', '"route":"mcp","mcp":[]']) {
    t.equal(parseRecord(Buffer.from(line.replace('"route":"mcp"', altered))), undefined, altered);
  }
  t.match(parseRecord(Buffer.from(line.replace('"route"', '"later":{"x":1},"route"'))), { later: { x: 1 } });
  t.end();
});

t.test('a request is given once, by its end where there is one', (t) => {
  const given: string[] = [];
  const line = Buffer.from('');
  const pairing = pairRequests(({ id, stage, outcome, route }) => given.push([id, stage, outcome, route].join(' ')));
  pairing.take(recordOf('whole', { stage: 'decided' }), line);
  pairing.take(recordOf('killed', { stage: 'decided', route: 'mcp' }), line);
  pairing.take(recordOf('open', { stage: 'decided' }), line);
  pairing.take(recordOf('whole', { outcome: 'completed' }), line);
  pairing.take(recordOf('whole', { stage: 'stream' }), line);
  pairing.take(recordOf('refused', { outcome: 'refused' }), line);
  pairing.take(recordOf('killed', { outcome: 'unknown' }), line);
  pairing.take(recordOf('c', { stage: 'config' }), line);
  t.strictSame(given, ['whole completed completed ', 'refused completed refused ', 'killed completed unknown mcp']);
  pairing.end();
  t.strictSame(given.slice(3), ['open decided  ']);
  t.end();
});

t.test('the lines of a log in reverse order (tac) give the same requests, each once', (t) => {
  const log = [
    recordOf('whole', { stage: 'decided', route: 'mcp' }),
    recordOf('killed', { stage: 'decided', route: 'mcp' }),
    recordOf('open', { stage: 'decided' }),
    recordOf('whole', { outcome: 'completed', route: 'mcp' }),
    recordOf('refused', { outcome: 'refused' }),
    recordOf('killed', { outcome: 'unknown' }),
    recordOf('lost', { outcome: 'unknown' }),
  ];
  const requestsOf = (records: typeof log): string[] => {
    const given: string[] = [];
    const pairing = pairRequests(({ id, stage, outcome, route }, line) =>
      given.push([id, stage, outcome, route, line].join(' ')),
    );
    for (const record of records) pairing.take(record, Buffer.from(record.stage));
    pairing.end();
    return given.sort();
  };
  t.strictSame(requestsOf(log.toReversed()), requestsOf(log));
  t.equal(requestsOf(log).length, 5);
  t.end();
});

t.test('groups beyond the room are counted together, and a record of a sum counts as its requests', (t) => {
  const counts = createRequestCounts(['client'], 2);
  const add = (clientId: string, more: Partial<AuditEvent> = {}) =>
    counts.add(recordOf('r', { principal: { kind: 'oauth', issuer: 'i', subject: 's', clientId }, ...more }));
  add('a', { decision: 'allow', durationMs: 10 });
  add('b', { decision: 'deny', detail: { summed: { requests: 40 } }, time: someTime + 5 });
  for (let client = 0; client < 100; client++) add(`hostile-${client}`);
  add('a', { decision: 'allow', durationMs: 1000 });
  const { groups, others } = counts.groups();
  t.match(groups, [
    { values: ['b'], requests: 40, denied: 40, first: someTime + 5, last: someTime + 5 },
    { values: ['a'], requests: 2, allowed: 2, first: someTime },
  ]);
  t.equal(groups.length, 2);
  t.equal(others?.requests, 100);
  const [half, nearlyAll] = [groups[1]!.percentileMs(0.5)!, groups[1]!.percentileMs(0.99)!];
  t.ok(half > 8 && half < 12 && nearlyAll > 800 && nearlyAll < 1200, `${half} ${nearlyAll}`);
  t.end();
});

t.test('a followed file goes on with what is appended, and with the file that takes its name', async (t) => {
  const folder = t.testdir({ 'audit.jsonl': 'one\n' });
  const path = join(folder, 'audit.jsonl');
  const end = new AbortController();
  const steps = [
    () => fs.appendFileSync(path, 'two\n'),
    () => {
      fs.appendFileSync(path, 'three\n');
      fs.renameSync(path, join(folder, 'rotated.jsonl'));
      fs.appendFileSync(join(folder, 'rotated.jsonl'), 'four\n');
    },
    () => fs.writeFileSync(path, 'five, in the new file\n'),
    () => fs.writeFileSync(path, 'cut\n'),
    () => end.abort(),
  ];
  let text = '';
  let caughtUp = 0;
  const pause = async () => steps.shift()?.();
  for await (const chunk of followFile(path, { signal: end.signal, pause, caughtUp: () => caughtUp++ })) text += chunk;
  t.equal(text, 'one\ntwo\nthree\nfour\nfive, in the new file\ncut\n');
  t.equal(caughtUp, 1);
});
