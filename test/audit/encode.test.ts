// One event, one line: bounded, escaped, in the documented order, whatever a client sends.
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { createEventEncoder } from '../../src/audit/encode.ts';
import type { AuditEvent } from '../../src/audit/event.ts';
import { chainLines, genesis, parseLink } from '../../src/audit/hash-chain.ts';
import { eventOf } from './support.ts';

const full: AuditEvent = {
  policy: 'abc',
  outcome: 'completed',
  durationMs: 1.5,
  bytes: 12,
  status: 200,
  upstream: { status: 200, name: 'superset' },
  reason: 'denied',
  rule: 'sql',
  decision: 'allow',
  scopes: { missing: [], required: ['queries:execute'], granted: ['dashboards:read', 'queries:execute'] },
  mcp: {
    arguments: { request: { limit: 5 } },
    target: 'x',
    via: 'call_tool',
    tool: 'execute_sql',
    method: 'tools/call',
  },
  http: { path: '/mcp', method: 'POST' },
  credentials: [{ kind: 'access-token', authenticator: 'corp-oauth', id: 'j1' }],
  principal: {
    kind: 'oauth',
    issuer: 'https://idp.example/',
    subject: 's',
    clientId: 'c',
    credentialId: 'j1',
    tenant: 't',
  },
  client: { userAgent: 'agent/1', address: '10.0.0.1' },
  route: 'superset-mcp',
  stage: 'completed',
  detail: { a: 1 },
  time: Date.UTC(2026, 10, 23, 5, 45, 0, 7),
  id: 'r1',
};

const encode = createEventEncoder('gw-1');

function lineOf(event: AuditEvent): string {
  return chainLines(genesis, [encode(event)]).lines.toString();
}

type Written = { [K in keyof AuditEvent]-?: NonNullable<AuditEvent[K]> } & Record<'seq' | 'instance' | 'prev', unknown>;

/** Members with digests beside them. */
type Cut = Readonly<Record<string, unknown>>;

function recordOf(event: AuditEvent): Written {
  return JSON.parse(lineOf(event));
}

t.test('the fields stand in the documented order, whatever the order in the event', (t) => {
  const record = recordOf(full);
  t.strictSame(
    Object.keys(record).join(),
    'seq,id,time,instance,stage,route,client,principal,credentials,http,mcp,scopes,decision,rule,reason,upstream,status,bytes,durationMs,outcome,detail,policy,prev,hash',
  );
  t.equal(Object.keys(record.principal).join(), 'kind,issuer,subject,clientId,credentialId,tenant');
  t.equal(Object.keys(record.mcp).join(), 'method,tool,via,target,arguments');
  t.equal(Object.keys(record.scopes).join(), 'granted,required,missing');
  t.equal(record.time, '2026-11-23T05:45:00.007Z');
  t.equal(record.instance, 'gw-1');
  t.equal(record.seq, 1);
  t.equal(record.prev, '0'.repeat(64));
  t.strictSame(record.mcp.arguments, { request: { limit: 5 } });
  const several = { ...full, mcp: { method: 'subscriptions/listen', target: ['a:b', 'c:"d\u2028'] } };
  t.strictSame(recordOf(several).mcp, several.mcp, 'a subscription has several targets');
  t.end();
});

t.test('what is undefined is left out', (t) => {
  const record = recordOf(eventOf('r1', { route: undefined, client: { address: 'a', userAgent: undefined } }));
  t.equal(Object.keys(record).join(), 'seq,id,time,instance,stage,client,policy,prev,hash');
  t.strictSame(record.client, { address: 'a' });
  t.end();
});

t.test('a hostile tool name is one line that shows no control to a terminal', (t) => {
  const hostile = 'x\n{"seq":2}\r\u001b[2J\u0000\u007f\u009b\u0085\u2028\u2029\u202e"}{\\\ud800';
  const line = lineOf(eventOf('r1', { mcp: { tool: hostile } }));
  t.equal(line.indexOf('\n'), line.length - 1);
  t.notMatch(line.slice(0, -1), /[^\x20-\x7e]/);
  t.equal(JSON.parse(line).mcp.tool, hostile);
  t.end();
});

t.test('ordinary text in any language stays readable', (t) => {
  t.match(lineOf(eventOf('r1', { rule: 'Größe 大小 📈' })), '"rule":"Größe 大小 📈"');
  t.end();
});

t.test('a field is cut at 256 bytes, at a character, and says how long it was', (t) => {
  for (const [text, cut] of [
    ['a'.repeat(256), 'a'.repeat(256)],
    ['a'.repeat(257), `${'a'.repeat(250)}…257`],
    ['ü'.repeat(128), 'ü'.repeat(128)],
    ['ü'.repeat(129), `${'ü'.repeat(125)}…258`],
    ['大'.repeat(100), `${'大'.repeat(83)}…300`],
    ['📈'.repeat(1000), `${'📈'.repeat(62)}…4000`],
    ['x'.repeat(1_000_000), `${'x'.repeat(246)}…1000000`],
  ] as const) {
    const event = eventOf('r1', { mcp: { tool: text }, http: { method: 'GET', path: text }, rule: text });
    const record = recordOf(event);
    t.equal(record.mcp.tool, cut);
    t.equal(record.http.path, cut);
    t.equal(record.rule, cut);
    t.ok(Buffer.byteLength(cut) <= 256);
  }
  t.end();
});

t.test('two targets that differ behind 256 bytes have two digests, and so has everything that is cut', (t) => {
  const sha256 = (whole: string) => `sha256:${createHash('sha256').update(whole).digest('hex')}`;
  const long = (end: string) => `superset://${'ü'.repeat(300)}${end}`;
  const targetOf = (end: string) => recordOf(eventOf('r1', { mcp: { target: long(end) } })).mcp as Cut;
  t.equal(targetOf('1').target, targetOf('2').target, 'what is left of them looks alike');
  t.equal(targetOf('1').targetDigest, sha256(long('1')));
  t.equal(targetOf('2').targetDigest, sha256(long('2')));

  const text = long('');
  const many = Array.from({ length: 65 }, (_, index) => `s${index}`);
  const big = { sql: '"\u0080'.repeat(40_000) };
  const everything = recordOf({
    ...full,
    route: text,
    client: { address: '10.0.0.1', userAgent: text },
    principal: { kind: 'oauth', issuer: text, subject: text, clientId: text, credentialId: text, tenant: text },
    credentials: [{ kind: 'access-token', authenticator: text, id: text }],
    http: { method: 'GET', path: text },
    mcp: { method: text, tool: text, via: text, target: [big.sql], arguments: big },
    scopes: { granted: many, required: [text], missing: [] },
    rule: text,
    reason: text,
    detail: big,
  }) as unknown as Record<string, Cut>;
  const { client, credentials, http, mcp, principal, scopes } = everything;
  for (const [where, names] of [
    [everything, ['route', 'rule', 'reason']],
    [client, ['userAgent']],
    [principal, ['issuer', 'subject', 'clientId', 'credentialId', 'tenant']],
    [(credentials as unknown as Cut[])[0], ['authenticator', 'id']],
    [http, ['path']],
    [mcp, ['method', 'tool', 'via']],
  ] as const)
    for (const name of names) t.equal((where as Cut)[`${name}Digest`], sha256(text), name);
  t.equal(mcp?.argumentsDigest, sha256(JSON.stringify(big)));
  t.equal(mcp?.targetDigest, sha256(JSON.stringify([big.sql])));
  t.equal((everything as unknown as Cut).detailDigest, sha256(JSON.stringify(big)));
  t.equal(scopes?.grantedDigest, sha256(JSON.stringify(many)));
  t.equal(scopes?.requiredDigest, sha256(JSON.stringify([text])));
  t.notMatch(lineOf(full) + lineOf(eventOf('r1', { rule: 'a'.repeat(256) })), /Digest/, 'nothing beside what is whole');
  t.end();
});

t.test('a list of scopes is cut after 64', (t) => {
  const granted = Array.from({ length: 1000 }, (_, index) => `s${index}`);
  const record = recordOf(eventOf('r1', { scopes: { granted, required: ['x'.repeat(300)], missing: [] } }));
  t.equal(record.scopes.granted.length, 65);
  t.equal(record.scopes.granted[64], '…1000');
  t.match(record.scopes.required[0], /^x+…300$/);
  t.end();
});

t.test('arguments beyond 64 KiB become the beginning of their JSON', (t) => {
  const fits = { sql: 'x'.repeat(60_000) };
  t.strictSame(recordOf(eventOf('r1', { mcp: { arguments: fits } })).mcp.arguments, fits);
  for (const unit of ['x', '"', '\u0080', '大', '\n']) {
    const line = lineOf(eventOf('r1', { mcp: { arguments: { sql: unit.repeat(70_000) } }, detail: { unit } }));
    const cut = JSON.parse(line).mcp.arguments;
    t.match(cut, /^\{"sql":.*…\d+$/);
    t.ok(Buffer.byteLength(JSON.stringify(cut)) <= 65_536);
    t.ok(Buffer.byteLength(line) < 66_500);
  }
  t.end();
});

t.test('arguments that are no JSON leave a record all the same', (t) => {
  const circular: Record<string, unknown> = {};
  circular.self = circular;
  for (const bad of [
    circular,
    { big: 1n },
    {
      toJSON: () => {
        throw new Error('no');
      },
    },
  ]) {
    t.equal(recordOf(eventOf('r1', { mcp: { arguments: bad } })).mcp.arguments, 'unencodable');
  }
  t.equal(recordOf(eventOf('r1', { time: Number.NaN })).time, null);
  t.end();
});

t.test('the first ,"hash" of a line is the chain\'s own', (t) => {
  const event = eventOf('r1', {
    scopes: { granted: ['a', 'hash', 'hash'], required: [], missing: [] },
    mcp: { tool: ',"hash":"', arguments: { a: 1, hash: 'x', list: ['a', 'hash'] } },
  });
  const line = lineOf(event).trimEnd();
  t.equal(line.indexOf(',"hash"'), line.lastIndexOf(',"hash"'));
  t.strictSame(JSON.parse(line).mcp.arguments, { a: 1, hash: 'x', list: ['a', 'hash'] });
  t.equal(parseLink(Buffer.from(line))?.intact, true);
  t.end();
});

t.test('any event is exactly one line without raw controls that parses back and is intact', (t) => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 400 }),
    fc.string({ unit: 'grapheme', maxLength: 60 }),
    fc.string({
      unit: fc.constantFrom('\ud800', '\udc00', '\u2028', '\u0080', '"', '\\', '\n', 'a', ',"hash"'),
      maxLength: 300,
    }),
  );
  const maybe = fc.option(text, { nil: undefined });
  const event: fc.Arbitrary<AuditEvent> = fc.record({
    id: text,
    time: fc.oneof(fc.integer(), fc.double()),
    stage: fc.constantFrom('decided', 'completed', 'stream', 'config'),
    route: maybe,
    client: fc.option(fc.record({ address: text, userAgent: maybe }), { nil: undefined }),
    principal: fc.option(fc.record({ kind: text, issuer: text, subject: text, clientId: maybe, tenant: maybe }), {
      nil: undefined,
    }),
    credentials: fc.option(fc.array(fc.record({ kind: text, id: maybe }), { maxLength: 3 }), { nil: undefined }),
    http: fc.option(fc.record({ method: text, path: text }), { nil: undefined }),
    mcp: fc.option(fc.record({ method: maybe, tool: maybe, arguments: fc.anything({ withBigInt: true }) }), {
      nil: undefined,
    }),
    scopes: fc.option(fc.record({ granted: fc.array(text), required: fc.array(text), missing: fc.array(text) }), {
      nil: undefined,
    }),
    status: fc.option(fc.double(), { nil: undefined }),
    detail: fc.option(fc.dictionary(text, fc.jsonValue()), { nil: undefined }),
    policy: text,
  });
  fc.assert(
    fc.property(event, (event) => {
      const line = lineOf(event);
      const text = line.slice(0, -1);
      return (
        line.indexOf('\n') === line.length - 1 &&
        text.isWellFormed() &&
        !/[\p{Cc}\u2028\u2029]/u.test(text) &&
        line.indexOf(',"hash"') === line.lastIndexOf(',"hash"') &&
        parseLink(Buffer.from(line.slice(0, -1)))?.intact === true
      );
    }),
    { numRuns: 400 },
  );
  t.end();
});
