// Calls that go through a meta-tool are read as the calls that they stand for, or not at all.
import fc from 'fast-check';
import t from 'tap';
import { GatewayError } from '../../src/errors.ts';
import type { McpMessage } from '../../src/mcp/message.ts';
import { compileMetaTools, lookThrough, type MetaToolConfig } from '../../src/mcp/meta-tools.ts';
import { readMessage } from '../../src/mcp/read-message.ts';

const metaTools = compileMetaTools({
  call_tool: { name: '/name', arguments: '/arguments' },
  run: { name: '/call/to~1ol', arguments: '/call/with' },
  search_tools: { results: '/result' },
});

function messageOf(params: string, method = 'tools/call'): McpMessage {
  return readMessage(Buffer.from(`{"jsonrpc":"2.0","id":7,"method":"${method}","params":${params}}`));
}

/** The call through the meta-tool, its arguments as they stand in the message. */
function through(args: string, via = 'call_tool'): McpMessage {
  return lookThrough(messageOf(`{"name":"${via}","arguments":${args}}`), metaTools);
}

t.test('the inner tool is the target, its arguments are the arguments, and the bytes stay as they were sent', (t) => {
  const sent = messageOf(
    '{"name":"call_tool","arguments":{"arguments": {"request":{"a":[1, 2]}} ,"name":"exec\\u0075te_sql"}}',
  );
  const message = lookThrough(sent, metaTools);
  t.same(message.target, { kind: 'tool', name: 'execute_sql' });
  t.equal(message.via, 'call_tool');
  t.equal(message.argumentBytes?.toString(), '{"request":{"a":[1, 2]}}');
  t.equal(message.bytes, sent.bytes);
  t.match(message, { kind: 'request', id: 7, method: 'tools/call' });

  const bare = through('{"name":"health_check"}');
  t.equal(bare.argumentBytes, undefined, 'as in a direct call without arguments');
  t.equal(through('{"name":"a","arguments":{}}').argumentBytes?.toString(), '{}');
  const none = through('{"name":"a","arguments":null}');
  t.strictSame([none.target?.name, none.argumentBytes], ['a', undefined], 'null is absent');

  const deep = through('{"call":{"with":{"x":1},"to/ol":"a"}}', 'run');
  t.match([deep.target?.name, deep.via, deep.argumentBytes?.toString()], ['a', 'run', '{"x":1}']);
  t.end();
});

t.test('everything else passes as it is', (t) => {
  const others = [
    messageOf('{"name":"execute_sql","arguments":{"name":"x","arguments":{}}}'),
    messageOf('{"name":"search_tools","arguments":{"query":"sql"}}'),
    messageOf('{"name":"Call_Tool","arguments":{"name":"x"}}'),
    messageOf('{"name":"call_tool","arguments":{"name":"x"}}', 'prompts/get'),
    messageOf('{"uri":"call_tool"}', 'resources/read'),
    messageOf('{}', 'tools/list'),
    readMessage(Buffer.from('{"jsonrpc":"2.0","id":1,"result":{"name":"call_tool"}}')),
  ];
  for (const message of others) t.equal(lookThrough(message, metaTools), message);
  t.end();
});

t.test('what is not exactly a name and arguments is refused with its reason', (t) => {
  const refusals: [string, string, string?][] = [
    ['{}', 'inner_tool'],
    ['{"arguments":{}}', 'inner_tool'],
    ['{"name":null}', 'inner_tool'],
    ['{"name":1}', 'inner_tool'],
    ['{"name":["execute_sql"]}', 'inner_tool'],
    ['{"name":{"name":"a"}}', 'inner_tool'],
    ['{"name":"a","arguments":[null]}', 'inner_arguments'],
    ['{"name":"a","arguments":"{}"}', 'inner_arguments'],
    ['{"name":"a","arguments":[]}', 'inner_arguments'],
    ['{"name":"a","args":{}}', 'unknown_member'],
    ['{"name":"a","request":{}}', 'unknown_member'],
    ['{"name":"a","":{}}', 'unknown_member'],
    ['{"name":"a","__proto__":{}}', 'unknown_member'],
    ['{"name":"a","Name":"b"}', 'member_spelling'],
    ['{"name":"a","\uff4eame":"b"}', 'member_spelling'],
    ['{"name":"a","argument\u017f":{}}', 'member_spelling'],
    ['{"name":"call_tool","arguments":{"name":"execute_sql"}}', 'nested_meta_tool'],
    ['{"name":"c\\u0061ll_tool"}', 'nested_meta_tool'],
    ['{"name":"run","arguments":{"call":{"to/ol":"execute_sql"}}}', 'nested_meta_tool'],
    ['{"name":"search_tools"}', 'nested_meta_tool'],
    ['{"call":{"to/ol":"a"},"with":{}}', 'unknown_member', 'run'],
    ['{"call":{"to/ol":"a","more":1}}', 'unknown_member', 'run'],
    ['{"call":"a"}', 'inner_tool', 'run'],
    ['{"call":[{"to/ol":"a"}]}', 'inner_tool', 'run'],
    ['{"call":{"to/ol":"call_tool"}}', 'nested_meta_tool', 'run'],
  ];
  for (const [args, reason, via] of refusals) {
    t.throws(() => through(args, via), { code: 'invalid_jsonrpc', status: 400, reason }, args);
  }
  t.throws(
    () => lookThrough(messageOf('{"name":"call_tool"}'), metaTools),
    { code: 'invalid_jsonrpc', reason: 'inner_tool' },
    'no arguments',
  );
  t.throws(() => through('{"name":"a","name":"b"}'), { code: 'invalid_jsonrpc', reason: 'duplicate_key' });
  t.throws(() => through('{"name":"a","n\\u0061me":"b"}'), { code: 'invalid_jsonrpc', reason: 'duplicate_key' });
  t.end();
});

t.test('the two places of a call are different places', (t) => {
  const bad: [string, string][] = [
    ['/a', '/a'],
    ['/a', '/a/b'],
    ['/a/b', '/a'],
    ['/a/b/c', '/a/b'],
  ];
  for (const [name, args] of bad) {
    t.throws(() => compileMetaTools({ x: { name, arguments: args } }), {
      message: 'name and arguments must be in different places',
    });
  }
  const config: Record<string, MetaToolConfig> = { x: { name: '/a/b', arguments: '/a/c' }, y: { results: '' } };
  const { calls, searches } = compileMetaTools(config);
  t.same([...calls.keys(), ...searches.keys()], ['x', 'y']);
  t.match(calls.get('x'), config.x);
  t.match(searches.get('y'), config.y);
  t.end();
});

t.test('whatever stands inside: it is refused, or read as JSON.parse reads it', (t) => {
  const key = fc.constantFrom(
    'name',
    'arguments',
    'Name',
    'ARGUMENTS',
    'call',
    '',
    'request',
    '\u006eame',
    '__proto__',
  );
  const inner = fc.oneof(fc.constantFrom('a', 'call_tool', 'run', 'search_tools', 'Call_tool'), fc.jsonValue());
  const held = fc.array(fc.tuple(key, inner), { maxLength: 3 });
  const verdicts = { read: 0, refused: 0 };
  fc.assert(
    fc.property(held, fc.boolean(), (members, escaped) => {
      const write = (name: string) =>
        escaped
          ? `"${[...name].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"`
          : JSON.stringify(name);
      const args = `{${members.map(([name, value]) => `${write(name)}:${JSON.stringify(value)}`).join(' , ')}}`;
      const parsed = JSON.parse(args) as Record<string, unknown>;
      let message: McpMessage;
      try {
        message = through(args);
      } catch (error) {
        verdicts.refused += 1;
        return error instanceof GatewayError && error.status === 400;
      }
      verdicts.read += 1;
      return (
        Object.keys(parsed).every((name) => name === 'name' || name === 'arguments') &&
        new Set(members.map(([name]) => name)).size === members.length &&
        message.target?.name === parsed.name &&
        !['call_tool', 'run', 'search_tools'].includes(message.target?.name ?? '') &&
        message.argumentBytes?.toString() ===
          (parsed.arguments === undefined || parsed.arguments === null ? undefined : JSON.stringify(parsed.arguments))
      );
    }),
    { numRuns: 2000 },
  );
  t.ok(verdicts.read > 0 && verdicts.refused > 0, `both happen: ${JSON.stringify(verdicts)}`);
  t.end();
});
