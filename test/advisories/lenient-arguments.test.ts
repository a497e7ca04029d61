// Arguments that two JSON readers understand differently (the kind of CVE-2026-27896, below `params.arguments`): the condition of a rule reads
// `limit` as 10 where a server in Go takes `LIMIT` for the same member, one in Python reads every digit of 9007199254740993, and one in C ends a
// name at its NUL. The call passes the rule, and the server does what the rule forbids.
import { Environment } from '@marcbachmann/cel-js';
import fc from 'fast-check';
import t from 'tap';
import { foldName } from '../../src/json/fold.ts';
import { readMessage } from '../../src/mcp/read-message.ts';
import { decide } from '../../src/policy/decide.ts';
import { agent, attributesOf, mcpPolicy } from '../policy/scene.ts';
import { startScenario } from '../support/scenario.ts';

const bounded = (limit: string) => `has(${limit}) && ${limit} >= 1 && ${limit} <= 1000`;

t.test('{"limit": 10, "LIMIT": 99999} and its kind: condition_error, recorded, and nothing forwarded', async (t) => {
  const { agent, upstream, recordOf, metric } = await startScenario(
    t,
    {
      routes: {
        '/mcp': {
          mcp: {
            denials: 'http',
            rules: [
              { name: 'sql', allow: { tools: ['execute_sql'], when: bounded('args.limit') } },
              { name: 'negation', allow: { tools: ['negated'], when: '!has(args.limit) || args.limit <= 1000' } },
              { name: 'deep', allow: { tools: ['deep'], when: bounded('args.request.limit') } },
              { name: 'list', allow: { tools: ['list'], when: '!(9007199254740992 in args.ids)' } },
              { name: 'keys', allow: { tools: ['keys'], when: 'args.all(name, name in ["limit", "LIMIT"])' } },
              { name: 'ascii', allow: { tools: ['ascii'], when: "args.table.lowerAscii() != 'k'" } },
              {
                name: 'day',
                allow: { tools: ['day'], when: "timestamp(args.from) >= timestamp('2026-01-01T00:00:00Z')" },
              },
              { name: 'text', allow: { tools: ['text'], when: 'int(args.limit) <= 1000' } },
            ],
          },
        },
      },
    },
    { inject: true },
  );
  const post = (tool: string, args: string) =>
    agent.post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"${tool}","arguments":${args}}}`);
  const name = 'ambiguous_name';
  const number = 'inexact_number';
  const refused: [string, string, string | undefined][] = [
    ['execute_sql', '{"limit": 10, "LIMIT": 99999}', name],
    ['execute_sql', '{"LIMIT": 99999, "limit": 10}', name],
    ['execute_sql', '{"limit": 10, "l\u0131mit": 99999}', name],
    ['execute_sql', '{"limit": 10, "L\u0130MIT": 99999}', name],
    ['execute_sql', '{"limit": 10, "\uff4c\uff49\uff4d\uff49\uff54": 99999}', name],
    ['execute_sql', '{"limit": 10, "lim\u200bit": 99999}', name],
    ['execute_sql', '{"limit": 10, "limit\\u0000x": 99999}', name],
    ['execute_sql', '{"limit": 10, "\\u004cimit": 99999}', name],
    ['negated', '{"LIMIT": 99999}', name],
    ['negated', '{"Limit": null}', name],
    ['deep', '{"request": {"limit": 10, "Limit": 99999}}', name],
    ['deep', '{"request": {"limit": 10}, "Request": {"limit": 99999}}', name],
    ['keys', '{"limit": 10, "LIMIT": 99999}', name],
    ['execute_sql', '{"limit": 1.00000000000000000001}', number],
    ['execute_sql', '{"limit": 1000.00000000000000000001}', number],
    ['negated', '{"limit": -0}', number],
    ['negated', '{"limit": -0.0}', number],
    ['negated', '{"limit": 1e-400}', number],
    ['negated', '{"limit": -9007199254740993}', number],
    ['negated', '{"limit": -18446744073709551616}', number],
    ['negated', '{"limit": -1e20}', number],
    ['list', '{"ids": [9007199254740993]}', number],
    ['list', '{"ids": [[1, 12345678901234567890]]}', number],
    ['text', '{"limit": "0X3E8"}', undefined],
    ['text', '{"limit": ""}', undefined],
    ['text', '{"limit": "+5"}', undefined],
    ['text', '{"limit": "010"}', undefined],
    ['day', '{"from": "02/01/2026 00:00:00 UTC"}', undefined],
    ['day', '{"from": "2026-02-31T00:00:00Z"}', undefined],
  ];
  for (const [tool, args, problem] of refused) {
    const answer = await post(tool, args);
    t.match([answer.status, JSON.parse(answer.text).error.data.code], [403, 'condition_error'], args);
    t.match(
      await recordOf(answer),
      {
        decision: 'deny',
        outcome: 'refused',
        reason: 'condition_error',
        ...(problem && { detail: { condition: { problem } } }),
      },
      `${args}: the record`,
    );
  }
  t.equal(upstream.requests.length, 0, 'the upstream saw none of them');
  t.equal(await metric('portcullis_condition_errors_total', { route: '/mcp', rule: 'sql' }), 10);
  for (const args of ['{"limit": 10, "limit": 99999}', '{"limit": 10, "\\u006cimit": 99999}']) {
    t.equal((await post('execute_sql', args)).status, 400, `${args}: one name twice is no message`);
  }
  for (const args of ['{"limit": -5}', '{"limit": 0}', '{"limit": 1001}']) {
    t.match(await recordOf(await post('execute_sql', args)), { reason: 'denied' }, args);
  }
  t.equal(upstream.requests.length, 0);
  const passed: [string, string][] = [
    ['execute_sql', '{"limit": 10, "sql": "SELECT 1", "SQL": "SELECT 2", "id": 12345678901234567890}'],
    ['execute_sql', '{"limit": 1e3, "Limits": 5, "li_mit": 6}'],
    ['execute_sql', '{"limit": 0.1e1}'],
    ['negated', '{"limit": 0.1}'],
    ['negated', '{"limit": -123456.789012345}'],
    ['negated', '{"limit": -9007199254740991}'],
    ['list', '{"ids": [1, 0.5, 2e2]}'],
    ['ascii', '{"table": "\u212a"}'],
    ['text', '{"limit": "1000"}'],
    ['execute_sql', '{"limit": 10, "constructor": 1}'],
    ['deep', '{"request": {"limit": 10, "constructor": {"name": "Map"}}}'],
    ['day', '{"from": "2026-06-01T12:00:00.5+02:00"}'],
  ];
  for (const [tool, args] of passed) t.equal((await post(tool, args)).status, 200, `${args} passes`);
  t.equal(upstream.requests.length, passed.length);
});

t.test('every pair of letters that Unicode folds together is one name', (t) => {
  const wrong: string[] = [];
  for (let point = 0x80; point < 0x1e944; point++) {
    const letter = String.fromCodePoint(point);
    // A pattern with the flags `iu` compares as Go does: by simple case folding.
    for (const other of [letter.toLowerCase(), letter.toUpperCase()]) {
      if (other !== letter && new RegExp(`^${letter}$`, 'iu').test(other) && foldName(letter) !== foldName(other))
        wrong.push(letter);
    }
  }
  t.same(wrong, []);
  for (const [one, other] of ['k\u212a', 's\u017f', '\u00df\u1e9e', '\u03c3\u03c2', '\u00e5\u212b', '\u03b8\u03f4']) {
    t.equal(foldName(one!), foldName(other!), `${one} and ${other}`);
  }
  t.end();
});

/** An object as a text says it, each name as often as it is there. */
type Pairs = readonly (readonly [string, Node])[];
type Node = string | { readonly pairs: Pairs } | { readonly items: readonly Node[] };

const textOf = (node: Node): string => {
  if (typeof node === 'string') return node;
  if ('items' in node) return `[${node.items.map(textOf).join()}]`;
  return `{${node.pairs.map(([name, value]) => `${JSON.stringify(name)}:${textOf(value)}`).join()}}`;
};

/** A reader: what it makes of a number, and which member of the schema it takes a name for. The last one of a name wins. */
interface Reader {
  number(text: string): unknown;
  member(name: string, known: readonly string[]): string;
}

const schema = ['limit', 'ids', 'request', 'mask'];
const exactly = (name: string) => name;
const readers: Readonly<Record<string, Reader>> = {
  go: {
    number: Number,
    member: (name, known) => known.find((each) => new RegExp(`^${each}$`, 'iu').test(name)) ?? name,
  },
  python: { number: (text) => (/^-?\d+$/.test(text) ? BigInt(text) : Number(text)), member: exactly },
  javascript: { number: Number, member: exactly },
  c: { number: Number, member: (name) => name.split('\0')[0]! },
};

function read(node: Node, reader: Reader): unknown {
  if (typeof node === 'string') return reader.number(node);
  if ('items' in node) return node.items.map((item) => read(item, reader));
  return new Map(node.pairs.map(([name, value]) => [reader.member(name, schema), read(value, reader)]));
}

const conditions = [
  bounded('args.limit'),
  '!has(args.limit) || args.limit <= 1000',
  "!('limit' in args) || args.limit != 9007199254740992",
  'has(args.request) ? !has(args.request.mask) || args.request.mask < 5 : args.limit == 7',
  'has(args.ids) && args.ids.all(id, id != 9007199254740992 && id < 1000)',
  '!has(args.ids) || !(9007199254740992 in args.ids)',
  'has(args.request) && args.request.limit == 10',
  "!args.exists(name, name == 'mask')",
  "args.all(name, name in ['limit', 'other', 'ids', 'constructor'])",
  "args != {'limit': 10.0}",
];
const environment = new Environment().registerVariable('args', 'map');

t.test('no call passes that the condition would have refused for what a lenient server reads (property)', (t) => {
  const policies = conditions.map((when) => mcpPolicy(JSON.stringify([{ allow: { tools: ['*'], when } }])));
  const parsed = conditions.map((condition) => environment.parse(condition));
  const number = fc.constantFrom(
    ...[
      '1',
      '5',
      '7',
      '10',
      '1000',
      '1001',
      '-5',
      '0',
      '-0',
      '1e1',
      '1e3',
      '1E4',
      '10.0',
      '0.1',
      '1000.0000000000000001',
    ],
    ...[
      '9007199254740991',
      '9007199254740992',
      '9007199254740993',
      '-9007199254740993',
      '12345678901234567890',
      '1e-400',
    ],
  );
  const name = fc.constantFrom(
    ...['limit', 'LIMIT', 'Limit', 'lim\u0131t', 'l\u0130mit', 'limit\0', 'other', 'ids', 'Ids', 'id\u017f', 'IDS\0x'],
    ...['request', 'Request', 'reque\u017ft', 'mask', 'mas\u212a', 'MASK', '__proto__', 'constructor'],
  );
  const items = fc.array(number, { maxLength: 3 }).map((each): Node => ({ items: each }));
  const flat = fc.array(fc.tuple(name, fc.oneof(number, items)), { maxLength: 4 }).map((pairs): Node => ({ pairs }));
  const node = fc
    .array(fc.tuple(name, fc.oneof(number, items, flat)), { maxLength: 5 })
    .map((pairs): Node => ({ pairs }));
  let passed = 0;
  fc.assert(
    fc.property(node, fc.nat(conditions.length - 1), (args, index) => {
      const body = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":${textOf(args)}}}`;
      let message: ReturnType<typeof readMessage>;
      try {
        message = readMessage(Buffer.from(body));
      } catch {
        return true;
      }
      if (!decide(attributesOf(agent, { message }), policies[index]!).allow) return true;
      passed++;
      return Object.values(readers).every((reader) => parsed[index]!({ args: read(args, reader) }) === true);
    }),
    { numRuns: 5000 },
  );
  t.ok(passed > 300, `${passed} calls passed`);
  t.end();
});
