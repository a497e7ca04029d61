// Media types, JSON-RPC errors, and recorded arguments of a message.
import { createHash } from 'node:crypto';
import t from 'tap';
import { createEventEncoder, encodeMessage } from '../../src/audit/encode.ts';
import { chainLines, genesis, parseLink } from '../../src/audit/hash-chain.ts';
import { GatewayError } from '../../src/errors.ts';
import { type ArgumentsMode, auditArguments } from '../../src/mcp/audit-arguments.ts';
import { jsonRpcError } from '../../src/mcp/json-rpc-error.ts';
import { checkMediaType, isEventStream, isJson } from '../../src/mcp/media-type.ts';
import { readMessage } from '../../src/mcp/read-message.ts';

t.test('only application/json in UTF-8 is accepted', (t) => {
  for (const type of [
    'application/json',
    'application/json;charset=utf-8',
    'application/json; charset=UTF-8',
    'application/json; charset="utf-8"',
    'Application/JSON;',
    'APPLICATION/JSON ; CHARSET="UTF-8" ; ;',
    'application/json;;charset=utf-8',
  ]) {
    t.ok(isJson(type), type);
    checkMediaType({ 'content-type': type, 'content-encoding': 'identity' });
  }
  const others = [
    undefined,
    '',
    'text/plain',
    'application/json;x',
    'application/json; charset=utf-16',
    'application/json; charset=utf-8 charset=utf-16',
    'application/json; charset="utf-8',
    'application/json; charset=utf-8; x',
    "application/json; charset*=utf-8''utf-8",
    'application/json; charset=utf-8; charset=utf-16',
    'application/json; boundary=x',
    'application/json\t; charset=utf-8',
    'application/json;\tcharset=utf-8',
    ' application/json',
    '\tapplication/json',
    'application/jsonp',
    'application/json, text/plain',
    'application/json\u00a0',
    'application/json-patch+json',
    'multipart/form-data; boundary=application/json',
    'application/x-www-form-urlencoded',
  ];
  for (const type of others) {
    t.notOk(isJson(type), JSON.stringify(type));
    t.throws(() => checkMediaType({ 'content-type': type }), {
      code: 'unsupported_media_type',
      status: 415,
      reason: 'content_type',
    });
  }
  for (const type of ['text/event-stream', 'Text/Event-Stream;', 'text/event-stream; charset="UTF-8"']) {
    t.ok(isEventStream(type), type);
  }
  for (const type of ['', 'text/event-stream; charset=utf-16le', 'text/event-stream;x', 'text/event-streams']) {
    t.notOk(isEventStream(type), type);
  }
  checkMediaType({ 'content-type': 'application/json', 'content-encoding': 'Identity' });
  for (const encoding of ['gzip', 'br', 'deflate', 'identity, gzip', '', 'zstd']) {
    t.throws(() => checkMediaType({ 'content-type': 'application/json', 'content-encoding': encoding }), {
      code: 'unsupported_media_type',
      reason: 'content_encoding',
    });
  }
  t.end();
});

t.test('an error is answered as JSON-RPC with the status as its code', (t) => {
  const denied = new GatewayError('insufficient_scope', 'Needs the scope queries:execute.', {
    cause: new Error('secret'),
    reason: 'r',
    missingScopes: ['queries:execute'],
  });
  t.equal(
    jsonRpcError('"a\\"b"', denied, 'r'),
    '{"jsonrpc":"2.0","id":"a\\"b","error":{"code":403,"message":"Needs the scope queries:execute.","data":{"code":"insufficient_scope","scopes":["queries:execute"],"requestId":"r"}}}',
  );
  t.strictSame(JSON.parse(jsonRpcError('1', new GatewayError('denied', 'm'), 'r')).error, {
    code: 403,
    message: 'm',
    data: { code: 'denied', requestId: 'r' },
  });
  t.equal(JSON.parse(jsonRpcError(undefined, denied, 'r')).id, null, 'no id when none is known');
  t.equal(JSON.parse(jsonRpcError('0', denied, 'r')).id, 0);
  t.equal(JSON.parse(jsonRpcError('1', new GatewayError('header_mismatch', 'm'), 'r')).error.code, -32020);
  t.end();
});

t.test('the audit gets as much of the arguments as the mode says', (t) => {
  const raw = '{"request": {"sql":"SELECT 1","limit":10,"a/b":{"~":[1,2]}},"token":"secret"}';
  const message = callOf('execute_sql', raw);
  const digest = `sha256:${createHash('sha256').update(raw).digest('hex')}`;
  const cases: [ArgumentsMode, unknown][] = [
    ['none', undefined],
    ['digest', digest],
    ['full', JSON.parse(raw)],
    [
      {
        execute_sql: [
          '/request/limit',
          '/request/a~1b/~0/1',
          '/request/a~1b/~0/length',
          '/absent',
          '/request/sql/length',
        ],
      },
      { '/request/limit': 10, '/request/a~1b/~0/1': 2 },
    ],
    [{ other: ['/token'] }, digest],
    [{ execute_sql: [] }, {}],
  ];
  for (const [mode, expected] of cases) t.strictSame(auditArguments(mode, message), expected, JSON.stringify(mode));
  t.strictSame(
    auditArguments({ x: ['/a'] }, callOf('toString', '{}')),
    `sha256:${createHash('sha256').update('{}').digest('hex')}`,
  );
  for (const mode of ['none', 'digest', 'full', { ping: ['/a'] }] as ArgumentsMode[]) {
    t.equal(
      auditArguments(mode, readMessage(Buffer.from('{"jsonrpc":"2.0","id":1,"method":"ping"}'))),
      undefined,
      'no arguments, no entry',
    );
  }
  t.end();
});

t.test('arguments of 100 KB are recorded as digest, length and the beginning of their JSON', (t) => {
  const raw = JSON.stringify({ sql: `DROP TABLE "${'é"'.repeat(33_334)}`, limit: 1 });
  const message = callOf('a', raw);
  const length = Buffer.byteLength(raw);
  const summary = { digest: `sha256:${createHash('sha256').update(raw).digest('hex')}`, bytes: length };
  const full = auditArguments('full', message) as { text: string };
  t.match(full, { ...summary, text: /^\{"sql":"DROP TABLE / });
  const [beginning, mark] = full.text.split('…');
  t.ok(raw.startsWith(beginning!), 'as it was sent, and up to a whole character');
  t.ok(Buffer.byteLength(beginning!) > 31 * 1024 - 4);
  t.equal(mark, String(length));
  const record = encodeMessage({ http: undefined, mcp: { method: 'tools/call', arguments: full } });
  t.strictSame(JSON.parse(`{${record.slice(1)}}`).mcp.arguments, full, 'the record holds it whole');
  t.match(auditArguments({ a: ['/sql'] }, message), { ...summary, text: /^\{"\/sql":"DROP TABLE .*…[0-9]+$/ });
  t.strictSame(auditArguments({ a: ['/limit'] }, message), { '/limit': 1 }, 'a small selection of them is small');
  t.end();
});

t.test('numbers that no double holds are recorded in the digits in which they were sent', (t) => {
  const raw = '{"id":9007199254740993,"in":[1.0,-0,1e-400,12345678901234567890],"__proto__":{"n":0.10}}';
  const recorded = (mode: ArgumentsMode) => JSON.stringify(auditArguments(mode, callOf('a', raw)));
  t.equal(recorded('full'), raw);
  t.equal(
    recorded({ a: ['/id', '/in/2', '/in', '/__proto__/n'] }),
    '{"/id":9007199254740993,"/in/2":1e-400,"/in":[1.0,-0,1e-400,12345678901234567890],"/__proto__/n":0.10}',
  );
  const record = createEventEncoder('i')({
    id: 'r',
    time: 0,
    stage: 'decided',
    policy: 'p',
    mcp: { arguments: auditArguments('full', callOf('a', raw)) },
  });
  const line = chainLines(genesis, [record]).lines.subarray(0, -1);
  t.ok(line.includes(`"arguments":${raw}`), line.toString());
  t.equal(parseLink(line)?.intact, true, 'the line is one that `audit verify` takes');
  t.end();
});

function callOf(name: string, args: string) {
  return readMessage(
    Buffer.from(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"${name}","arguments":${args}}}`),
  );
}
