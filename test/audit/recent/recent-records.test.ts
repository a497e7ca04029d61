// Newest audit records in memory: found by filter and cursor as a list of all records tells, within their bounds.
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { createEventEncoder } from '../../../src/audit/encode.ts';
import type { AuditEvent } from '../../../src/audit/event.ts';
import { createRecentRecords, type RecordFilter } from '../../../src/audit/recent/recent-records.ts';
import { configOf, eventOf, fileSink, linesOf, openLog } from '../support.ts';

const encode = createEventEncoder('test');

function open(size = { bytes: 1024 * 1024, entries: 1000 }) {
  const records = createRecentRecords(size);
  records.keep(true);
  return { ...records, add: (event: AuditEvent) => records.add(event, encode(event)) };
}

const everything = { filter: {}, after: 0, limit: 1000 };
const names = ['a', 'b', '"', '","tool":"a', 'ü\u2028', 'x'.repeat(300)];
const name = fc.constantFrom(...names);

/** A part of the text of a name, which is cut in a record. */
const recorded = (text: string | undefined) => JSON.parse(`{${encode(eventOf('x', { reason: text }))}}`).reason;

interface Step {
  readonly request: number;
  readonly client: string;
  readonly tool: string;
  readonly reason: string | undefined;
  readonly isAllowed: boolean;
}

const steps = fc.array(
  fc.record({
    request: fc.nat(30),
    client: name,
    tool: name,
    reason: fc.option(name, { nil: undefined }),
    isAllowed: fc.boolean(),
  }),
  { maxLength: 60 },
);

/** The first record of an allowed request is the `decided` one, and each later one a completion. */
function eventsOf(all: readonly Step[]): AuditEvent[] {
  const begun = new Map<number, Partial<AuditEvent>>();
  return all.map(({ client, isAllowed, reason, request, tool }) => {
    const known = begun.get(request);
    const parts: Partial<AuditEvent> = known ?? {
      principal: { kind: 'oauth', issuer: 'i', subject: 's', clientId: client },
      mcp: { tool, arguments: { tool: 'a', clientId: client } },
      decision: isAllowed ? 'allow' : 'deny',
    };
    begun.set(request, parts);
    const isDecision = known === undefined && isAllowed;
    return eventOf(
      `r${request}`,
      isDecision ? { ...parts, stage: 'decided' } : { ...parts, reason, outcome: 'completed' },
    );
  });
}

t.test(
  'a search finds the requests that a list of all records has, each by the newest of its records that passes',
  async () => {
    await fc.assert(
      fc.asyncProperty(
        steps,
        fc.record({ client: fc.option(name), tool: fc.option(name), reason: fc.option(name) }),
        fc.nat(60),
        fc.nat(60),
        fc.integer({ min: 1, max: 10 }),
        async (all, wanted, after, before, limit) => {
          const filter: RecordFilter = {
            client: recorded(wanted.client ?? undefined),
            tool: recorded(wanted.tool ?? undefined),
            reason: recorded(wanted.reason ?? undefined),
          };
          const events = eventsOf(all);
          const records = open();
          for (const each of events) records.add(each);
          const passing = events
            .map((event, index) => ({ event, number: index + 1 }))
            .filter(
              ({ event: { mcp, principal, reason }, number }) =>
                number > after &&
                (filter.client === undefined || filter.client === recorded(principal?.clientId)) &&
                (filter.tool === undefined || filter.tool === recorded(mcp?.tool)) &&
                (filter.reason === undefined || filter.reason === recorded(reason)),
            );
          const expected = passing
            .filter(
              ({ event, number }, index) =>
                number < before && !passing.slice(index + 1).some((later) => later.event.id === event.id),
            )
            .reverse();
          const { found, newest } = await records.search({ filter, after, before, limit });
          const numbers = expected.slice(0, limit).map(({ number }) => number);
          return newest === events.length && found.map(({ number }) => number).join() === numbers.join();
        },
      ),
      { numRuns: 80 },
    );
  },
);

t.test(
  'pages from the newest to the oldest have each request once, also where its records are on two of them',
  async (t) => {
    const records = open();
    for (let index = 0; index < 25; index += 1) records.add(eventOf(`r${index}`, { stage: 'decided' }));
    for (let index = 0; index < 20; index += 1) records.add(eventOf(`r${index}`, { outcome: 'completed' }));
    const ids: string[] = [];
    let before: number | undefined;
    do {
      const { found, hasMore } = await records.search({ ...everything, before, limit: 7 });
      ids.push(...found.map(({ record }) => record.id));
      before = hasMore ? found.at(-1)!.number : undefined;
    } while (before !== undefined);
    t.strictSame(
      ids,
      [...range(20).reverse(), 24, 23, 22, 21, 20].map((index) => `r${index}`),
    );
  },
);

t.test('a reader that is behind is told how many requests it will not see', async (t) => {
  const records = open({ bytes: 1024 * 1024, entries: 20 });
  for (let index = 1; index <= 50; index += 1) records.add(eventOf(`r${index}`));
  const { found, leftOut, newest } = await records.search({ ...everything, after: 10, limit: 5 });
  t.strictSame([found.map(({ record }) => record.id), newest], [['r50', 'r49', 'r48', 'r47', 'r46'], 50]);
  t.equal(leftOut, 10 + 15, 'of the 20 that are gone half were completions, as far as is known; 15 are there');
  t.strictSame(await records.search({ ...everything, after: 50 }), {
    found: [],
    newest: 50,
    leftOut: 0,
    hasMore: false,
  });
  const looked = await records.search({ ...everything, after: 45, limit: 5, look: 2 });
  t.strictSame([looked.found.length, looked.leftOut, looked.hasMore], [2, 3, true]);
});

t.test('the records of one request, and nothing for an id that only begins like it', async (t) => {
  const records = open();
  for (const stage of ['decided', 'stream', 'completed'] as const) records.add(eventOf('r1', { stage }));
  records.add(eventOf('r11'));
  const stages = (await records.recordsOf('r1')).map(({ record }) => record.stage);
  t.strictSame(stages, ['decided', 'stream', 'completed']);
  t.strictSame(await records.recordsOf('r'), []);
  t.strictSame(await records.recordsOf('"r1'), []);
});

t.test('of a long record the arguments are left out, whatever is written in them', async (t) => {
  const look = '},"decision":"allow","rule":"x","scopes":{"granted":["all"],"required":[],"missing":[]}';
  for (const scopes of [undefined, { granted: ['a'], required: ['b'], missing: ['b'] }]) {
    const records = open();
    const hostile = { text: look, '},"decision":"allow"': 1, decision: 'allow', scopes: { granted: ['all'] } };
    const event = eventOf('r1', {
      route: 'superset-mcp',
      mcp: {
        method: 'tools/call',
        tool: 'execute_sql',
        arguments: { ...hostile, x: 'y'.repeat(20_000), z: { ...hostile } },
      },
      scopes,
      decision: 'deny',
      reason: 'denied',
    });
    // As the gateway gives it.
    const parts = /,"route".*(?=,"reason")/.exec(encode(event))![0];
    records.add({ ...eventOf('r1', { reason: 'denied' }), encodedParts: parts });
    const [found] = await records.recordsOf('r1');
    const { cut, decision, mcp, reason, rule, scopes: had } = found!.record;
    t.strictSame(
      { cut, decision, mcp, reason, rule, had },
      {
        cut: 'arguments',
        decision: 'deny',
        mcp: { method: 'tools/call', tool: 'execute_sql' },
        reason: 'denied',
        rule: undefined,
        had: scopes,
      },
    );
  }
});

t.test('of a record that is long without arguments its identity is left', async (t) => {
  const records = open();
  records.add(eventOf('r1', { detail: { long: 'y'.repeat(20_000) } }));
  const [found] = await records.recordsOf('r1');
  t.match(found?.record, { id: 'r1', stage: 'completed', policy: 'p1', cut: 'all' });
});

t.test('nothing is held while they are off, and of a configuration nothing ever', async (t) => {
  const records = createRecentRecords();
  const add = (event: AuditEvent) => records.add(event, encode(event));
  add(eventOf('r1'));
  t.equal((await records.search(everything)).newest, 0);
  records.keep(true);
  add(eventOf('r2'));
  add(eventOf('c1', { stage: 'config' }));
  t.equal((await records.search(everything)).newest, 1);
  records.keep(false);
  t.strictSame(await records.search(everything), { found: [], newest: 0, leftOut: 0, hasMore: false });
});

t.test('the log gives them each record that it writes', async (t) => {
  const path = join(t.testdir({}), 'audit.jsonl');
  const recent = createRecentRecords();
  recent.keep(true);
  const log = await openLog(configOf([fileSink(path)]), { recent });
  await Promise.all([log.write(eventOf('r1', { reason: 'denied' })), log.write(eventOf('r2'))]);
  await log.close();
  const { found } = await recent.search(everything);
  const written = linesOf(path).map(({ hash, prev, seq, ...record }) => record);
  t.strictSame(
    found.map(({ record: { seq, ...record } }) => record),
    written.reverse(),
  );
});

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
