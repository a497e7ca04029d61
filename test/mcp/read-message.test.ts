// Reader of messages: rows J1 to J6, J9 and J10 of the threat model at the level of one message.
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { GatewayError } from '../../src/errors.ts';
import type { McpMessage } from '../../src/mcp/message.ts';
import { maxNamed } from '../../src/mcp/params.ts';
import { readMessage } from '../../src/mcp/read-message.ts';

function read(text: string): McpMessage {
  return readMessage(Buffer.from(text));
}

function refusal(text: string): string {
  try {
    read(text);
    return 'accepted';
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    t.equal(error.status, 400);
    return `${error.code} ${error.reason}`;
  }
}

const call = (params: string) => `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":${params}}`;

t.test('a tool call is understood', (t) => {
  const text = call(
    '{"name":"execute_sql","arguments":{"request":{"limit":10}},"_meta":{"progressToken":1},"task":{}}',
  );
  const message = read(text);
  t.equal(message.kind, 'request');
  t.equal(message.id, '1');
  t.equal(message.method, 'tools/call');
  t.same(message.target, { kind: 'tool', name: 'execute_sql' });
  t.equal(message.argumentBytes?.toString(), '{"request":{"limit":10}}');
  t.equal(message.via, undefined);
  t.end();
});

t.test('kinds are told apart', (t) => {
  const kinds: [string, McpMessage['kind'], McpMessage['id']][] = [
    ['{"jsonrpc":"2.0","id":"a","method":"ping"}', 'request', '"a"'],
    ['{"jsonrpc":"2.0","id":0,"method":"ping","params":{}}', 'request', '0'],
    ['{"jsonrpc":"2.0","method":"notifications/initialized"}', 'notification', undefined],
    ['{"jsonrpc":"2.0","id":-7,"result":{}}', 'response', '-7'],
    ['{"jsonrpc":"2.0","id":"x","error":{"code":1,"message":"no"}}', 'response', '"x"'],
    ['{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"no"}}', 'response', 'null'],
  ];
  for (const [text, kind, id] of kinds) {
    const message = read(text);
    t.equal(message.kind, kind, text);
    t.equal(message.id, id, text);
    t.equal(message.argumentBytes, undefined);
  }
  t.end();
});

t.test('every method that is about something names it', (t) => {
  const targets: [string, string, McpMessage['target']][] = [
    ['tools/call', '{"name":"a"}', { kind: 'tool', name: 'a' }],
    ['prompts/get', '{"name":"p","arguments":{"x":"1"}}', { kind: 'prompt', name: 'p' }],
    ['resources/read', '{"uri":"superset://schema"}', { kind: 'resource', name: 'superset://schema' }],
    ['resources/subscribe', '{"uri":"file:///a"}', { kind: 'resource', name: 'file:///a' }],
    ['resources/unsubscribe', '{"uri":"file:///a"}', { kind: 'resource', name: 'file:///a' }],
    ['completion/complete', '{"ref":{"type":"ref/prompt","name":"p"},"argument":{}}', { kind: 'prompt', name: 'p' }],
    [
      'completion/complete',
      '{"ref":{"type":"ref/resource","uri":"file:///{x}"}}',
      { kind: 'resource', name: 'file:///{x}' },
    ],
    ['tools/list', '{"name":"ignored"}', undefined],
    ['subscriptions/listen', '{"uri":"file:///a"}', undefined],
    ['x/unknown', '{"name":"a"}', undefined],
  ];
  for (const [method, params, target] of targets) {
    t.same(
      read(`{"jsonrpc":"2.0","id":1,"method":"${method}","params":${params}}`).target,
      target,
      `${method} ${params}`,
    );
  }
  t.end();
});

t.test('a method that 2026-07-28 dropped goes by its name alone when a message of that revision names nothing', (t) => {
  const modern = '"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}';
  const subscribe = (params: string) => `{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{${params}}}`;
  t.equal(read(subscribe(modern)).target, undefined, 'the upstream refuses it, and the client learns of its era');
  t.same(read(subscribe(`"uri":"a:b",${modern}`)).target, { kind: 'resource', name: 'a:b' }, 'what it names is judged');
  t.equal(refusal(subscribe(`"uri":7,${modern}`)), 'invalid_jsonrpc target');
  t.equal(refusal(subscribe('')), 'invalid_jsonrpc target');
  t.equal(refusal(subscribe(modern).replace('subscribe', 'read')), 'invalid_jsonrpc target');
  t.end();
});

t.test('a subscription names its resources', (t) => {
  const listen = (params: string) => `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":${params}}`;
  const uris = (notifications: string) => read(listen(`{"notifications":${notifications}}`)).named;
  t.strictSame(uris('{"resourceSubscriptions":["a:b","\\u0063:d"],"toolsListChanged":true}'), [
    { kind: 'resource', name: 'a:b' },
    { kind: 'resource', name: 'c:d' },
  ]);
  t.equal(uris('{"toolsListChanged":true}'), undefined);
  t.strictSame(uris('{"taskIds":["task-1"],"resourceSubscriptions":["a:b"]}'), [
    { kind: 'resource', name: 'a:b' },
    { kind: 'task', name: 'task-1' },
  ]);
  for (const nothing of ['null', '{"resourceSubscriptions":[]}', '{"resourceSubscriptions":null,"taskIds":null}']) {
    t.equal(uris(nothing), undefined, nothing);
  }
  t.equal(read(listen('{}')).named, undefined, 'what is missing is for the upstream to say');
  t.equal(
    read(listen('{"notifications":{"resourceSubscriptions":["a:b"]}}').replace('listen', 'other')).named,
    undefined,
  );
  const many = (count: number) => `{"resourceSubscriptions":[${Array(count).fill('"a:b"').join()}]}`;
  t.equal(uris(many(maxNamed))?.length, maxNamed);
  for (const notifications of [
    '[]',
    '"a:b"',
    '{"resourceSubscriptions":"a:b"}',
    '{"taskIds":"task-1"}',
    '{"taskIds":["task-1",1]}',
    '{"resourceSubscriptions":{"0":"a:b"}}',
    '{"resourceSubscriptions":["a:b",1]}',
    '{"resourceSubscriptions":[["a:b"]]}',
    many(maxNamed + 1),
  ]) {
    const text = listen(`{"notifications":${notifications}}`);
    t.equal(refusal(text), 'invalid_jsonrpc subscriptions', notifications.slice(0, 40));
  }
  for (const other of [
    '{"Notifications":{}}',
    '{"notifications":{"resourcesubscriptions":["a:b"]}}',
    '{"notifications":{"TaskIds":["a"]}}',
    '{"_meta":{"io.modelcontextprotocol/Related-Task":{"taskId":"a"}}}',
  ]) {
    t.equal(refusal(listen(other)), 'invalid_jsonrpc member_spelling', other);
  }
  t.end();
});

t.test('the revision is read from the body alone', (t) => {
  const version = 'io.modelcontextprotocol/protocolVersion';
  const modern = (meta: string) => `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":${meta}}}`;
  t.equal(read(modern(`{"${version}":"2026-07-28"}`)).protocolVersion, '2026-07-28');
  t.equal(read(modern(`{"io.modelcontextprotocol\\/protocol\\u0056ersion":"x"}`)).protocolVersion, 'x', 'escaped');
  for (const meta of ['{}', '{"progressToken":1}', '"2026-07-28"', `{"x":{"${version}":"2026-07-28"}}`]) {
    t.equal(read(modern(meta)).protocolVersion, undefined, meta);
  }
  t.equal(read('{"jsonrpc":"2.0","id":1,"method":"ping"}').protocolVersion, undefined);
  t.equal(
    read(`{"jsonrpc":"2.0","method":"notifications/x","params":{"_meta":{"${version}":"2026-07-28"}}}`).protocolVersion,
    '2026-07-28',
    'in a notification too',
  );
  for (const value of ['null', '1', '["2026-07-28"]', '{}', 'true']) {
    t.equal(refusal(modern(`{"${version}":${value}}`)), 'invalid_jsonrpc protocol_version', value);
  }
  for (const other of [
    'io.modelcontextprotocol/protocolversion',
    'IO.modelcontextprotocol/protocolVersion',
    'io.modelcontextprotocol/protocolVer\u017fion',
    'io.modelcontextprotocol\uff0fprotocolVersion',
  ]) {
    t.equal(refusal(modern(`{"${other}":"2026-07-28"}`)), 'invalid_jsonrpc member_spelling', other);
  }
  t.equal(refusal(modern(`{"${version}":"a","${version}":"b"}`)), 'invalid_jsonrpc duplicate_key');
  t.equal(refusal('{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_META":{}}}'), 'invalid_jsonrpc member_spelling');
  t.end();
});

t.test('null `params` and `arguments`, as typed clients send them for none, are none', (t) => {
  for (const text of [
    call('{"name":"a","arguments":null}'),
    call('{"name":"a","arguments":null,"_meta":null}'),
    '{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"a","arguments":null}}',
  ]) {
    const message = read(text);
    t.equal(message.target?.name, 'a', text);
    t.equal(message.argumentBytes, undefined, text);
    t.equal(message.bytes.toString(), text);
  }
  t.equal(read('{"jsonrpc":"2.0","id":1,"method":"ping","params":null}').membersKnown, true);
  t.equal(read('{"jsonrpc":"2.0","method":"notifications/initialized","params":null}').kind, 'notification');
  t.end();
});

t.test('an id is a string or a whole number of any size, and stays as it was written', (t) => {
  const ids = [
    '9007199254740993',
    '-12345678901234567890',
    `1${'0'.repeat(200)}`,
    '1.0',
    '1e3',
    '-0',
    '"\\u0061"',
    '""',
  ];
  for (const id of ids) t.equal(read(`{"jsonrpc":"2.0","id": ${id} ,"method":"ping"}`).id, id);
  t.end();
});

t.test('what could be understood in two ways is refused', (t) => {
  const refused: [string, string, string][] = [
    ['the method twice', '{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}', 'duplicate_key'],
    [
      'the method twice, once escaped',
      '{"jsonrpc":"2.0","id":1,"method":"ping","\\u006dethod":"tools/call"}',
      'duplicate_key',
    ],
    ['params twice', '{"jsonrpc":"2.0","id":1,"method":"ping","params":{},"params":{}}', 'duplicate_key'],
    ['the name twice', call('{"name":"a","name":"b"}'), 'duplicate_key'],
    ['the name twice, once escaped', call('{"name":"a","\\u006eame":"b"}'), 'duplicate_key'],
    ['an argument twice, deep inside', call('{"name":"a","arguments":{"r":[{"x":1,"x":2}]}}'), 'duplicate_key'],
    ['Method', '{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}', 'member_spelling'],
    ['only METHOD', '{"jsonrpc":"2.0","id":1,"METHOD":"tools/call"}', 'member_spelling'],
    ['PARAMS', '{"jsonrpc":"2.0","id":1,"method":"ping","PARAMS":{}}', 'member_spelling'],
    ['params with a long s', '{"jsonrpc":"2.0","id":1,"method":"ping","paramſ":{}}', 'member_spelling'],
    ['NAME', call('{"name":"a","NAME":"b"}'), 'member_spelling'],
    ['Arguments', call('{"name":"a","Arguments":{}}'), 'member_spelling'],
    ['argumentſ, escaped', call('{"name":"a","argument\\u017f":{}}'), 'member_spelling'],
    ['Uri', '{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"a","Uri":"b"}}', 'member_spelling'],
    [
      'Type of a reference',
      '{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","Type":"x"}}}',
      'member_spelling',
    ],
    ['an unknown member', '{"jsonrpc":"2.0","id":1,"method":"ping","extra":1}', 'unknown_member'],
    ['a member with a NUL', '{"jsonrpc":"2.0","id":1,"method":"ping","method\\u0000":1}', 'member_spelling'],
    ['__proto__', '{"jsonrpc":"2.0","id":1,"method":"ping","__proto__":{"method":"tools/call"}}', 'unknown_member'],
    ['a batch', `[${call('{"name":"a"}')}]`, 'batch'],
    ['an empty batch', ' []', 'batch'],
    ['a string', '"tools/call"', 'not_an_object'],
    ['null', 'null', 'not_an_object'],
    ['no version', '{"id":1,"method":"ping"}', 'version'],
    ['version 1.0', '{"jsonrpc":"1.0","id":1,"method":"ping"}', 'version'],
    ['version as a number', '{"jsonrpc":2.0,"id":1,"method":"ping"}', 'version'],
    ['a method that is no string', '{"jsonrpc":"2.0","id":1,"method":["ping"]}', 'method'],
    ['a method and a result', '{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}', 'members'],
    ['a result and an error', '{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', 'members'],
    ['neither', '{"jsonrpc":"2.0","id":1}', 'members'],
    ['a result with params', '{"jsonrpc":"2.0","id":1,"result":{},"params":{}}', 'members'],
    ['a request with a null id', '{"jsonrpc":"2.0","id":null,"method":"ping"}', 'id'],
    ['a request without an id', '{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a"}}', 'id'],
    ['an unknown request without an id', '{"jsonrpc":"2.0","method":"x/unknown"}', 'id'],
    ['a notification with an id', '{"jsonrpc":"2.0","id":1,"method":"notifications/cancelled"}', 'id'],
    ['a fractional id', '{"jsonrpc":"2.0","id":1.5,"method":"ping"}', 'id'],
    ['a fractional id beyond the safe integers', '{"jsonrpc":"2.0","id":12345678901234567890.5,"method":"ping"}', 'id'],
    ['an id that is an object', '{"jsonrpc":"2.0","id":{},"method":"ping"}', 'id'],
    ['a boolean id', '{"jsonrpc":"2.0","id":true,"method":"ping"}', 'id'],
    ['a response without an id', '{"jsonrpc":"2.0","result":{}}', 'id'],
    ['a result for nobody', '{"jsonrpc":"2.0","id":null,"result":{}}', 'id'],
    ['positional params', '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["a"]}', 'params'],
    ['params that are a string', '{"jsonrpc":"2.0","id":1,"method":"ping","params":"null"}', 'params'],
    ['a call with null params', '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":null}', 'target'],
    ['a call without params', '{"jsonrpc":"2.0","id":1,"method":"tools/call"}', 'target'],
    ['a call without a name', call('{"arguments":{}}'), 'target'],
    ['a name that is a number', call('{"name":1}'), 'target'],
    ['a name that is a list', call('{"name":["a"]}'), 'target'],
    ['a null uri', '{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":null}}', 'target'],
    [
      'an unknown reference',
      '{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/tool","name":"a"}}}',
      'target',
    ],
    [
      'a reference without what it refers to',
      '{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","uri":"a"}}}',
      'target',
    ],
    [
      'a reference that is a string',
      '{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":"p"}}',
      'target',
    ],
    ['arguments that are a list', call('{"name":"a","arguments":[]}'), 'arguments'],
    ['arguments that are a string', call('{"name":"a","arguments":"{}"}'), 'arguments'],
  ];
  for (const [name, text, reason] of refused) t.equal(refusal(text), `invalid_jsonrpc ${reason}`, name);
  t.end();
});

t.test('names are exactly what was sent, code point by code point', (t) => {
  const names = [
    'execute_sql',
    'еxecute_sql',
    'e\u0301',
    'é',
    'a\u200bb',
    'a ',
    'a\u0000b',
    '😀',
    '',
    'x'.repeat(10_240),
  ];
  for (const name of names) t.equal(read(call(JSON.stringify({ name }))).target?.name, name);
  t.equal(read(call('{"name":"\\u0065xecute\\u005fsql"}')).target?.name, 'execute_sql', 'escapes are undone');
  t.end();
});

t.test('the bytes that were judged are the bytes that are sent', (t) => {
  const text = ` {"params" :{"arguments":{"big":12345678901234567890,"f":1.10,"s":"\\u0041\\/é"},"name":"a"},\n"method":"tools/call","id":1,"jsonrpc":"2.0"}\r\n`;
  const bytes = Buffer.from(text);
  const digest = createHash('sha256').update(bytes).digest('hex');
  const message = readMessage(bytes);
  t.equal(message.bytes, bytes);
  t.equal(createHash('sha256').update(message.bytes).digest('hex'), digest);
  t.end();
});

t.test('whatever is read, JSON.parse reads alike', (t) => {
  const inner = fc.constantFrom('name', 'arguments', 'uri', 'ref', '_meta', 'x', 'Name', '__proto__');
  const odd = fc.jsonValue({ maxDepth: 1 });
  const some = <T>(usual: fc.Arbitrary<T>, unusual: fc.Arbitrary<unknown>) =>
    fc.oneof<[{ arbitrary: fc.Arbitrary<T>; weight: number }, fc.Arbitrary<unknown>]>(
      { arbitrary: usual, weight: 9 },
      unusual,
    );
  const toolCall = fc.record({
    name: fc.string({ unit: 'binary' }),
    arguments: fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue({ maxDepth: 3 })),
  });
  const envelope = fc.record(
    {
      jsonrpc: some(fc.constant('2.0'), odd),
      id: some(fc.oneof(fc.integer(), fc.string()), fc.double()),
      method: some(fc.constantFrom('tools/call', 'tools/call', 'ping', 'prompts/get', 'notifications/progress'), odd),
      params: some(toolCall, fc.oneof(fc.dictionary(inner, odd), odd)),
    },
    { requiredKeys: ['jsonrpc', 'id', 'method'] },
  );
  const escapeAll = (text: string) => text.replace(/[a-z]/g, (letter) => `\\u00${letter.charCodeAt(0).toString(16)}`);
  const written = fc.tuple(envelope, fc.constantFrom(0, 1, 2)).map(([value, style]) => {
    const text = JSON.stringify(value, undefined, style === 1 ? 1 : undefined);
    return style === 2 ? text.replace(/"(method|name|params)"/g, escapeAll) : text;
  });
  let accepted = 0;
  fc.assert(
    fc.property(written, (text) => {
      const message = readOrUndefined(text);
      if (message === undefined) return;
      accepted++;
      const parsed = JSON.parse(text);
      t.equal(message.method, parsed.method);
      t.equal(message.id === undefined ? undefined : JSON.parse(message.id), parsed.id);
      if (message.target?.kind === 'tool') {
        t.equal(message.target.name, parsed.params.name);
        t.strictSame(JSON.parse(String(message.argumentBytes ?? null)), parsed.params.arguments ?? null);
      }
    }),
    { numRuns: 600 },
  );
  t.ok(accepted > 100, `${accepted} of the generated messages were read`);
  t.end();
});

function readOrUndefined(text: string): McpMessage | undefined {
  try {
    return read(text);
  } catch (error) {
    if (error instanceof GatewayError) return undefined;
    throw error;
  }
}
