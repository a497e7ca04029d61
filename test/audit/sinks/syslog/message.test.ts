// Audit records as syslog messages: framing, header fields, structured data, severities, CEF, whatever a client sends.
import fc from 'fast-check';
import t from 'tap';
import { createEventEncoder } from '../../../../src/audit/encode.ts';
import type { AuditEvent } from '../../../../src/audit/event.ts';
import { chainLines, genesis } from '../../../../src/audit/hash-chain.ts';
import { extensionText, headerText } from '../../../../src/audit/sinks/syslog/cef.ts';
import { createMessageEncoder, element, headerField } from '../../../../src/audit/sinks/syslog/message.ts';
import { eventOf } from '../../support.ts';
import { parseCef, parseFrames, parseMessage } from './parse.ts';

const encodeEvent = createEventEncoder('gw 1\n');
const options = { facility: 13, hostname: 'host.example', version: '1.2.3' };
/** Without room. */
const none = Buffer.alloc(0);
const asJson = createMessageEncoder({ ...options, format: 'json' });
const asCef = createMessageEncoder({ ...options, format: 'cef' });

function lineOf(event: AuditEvent): Buffer {
  return chainLines(genesis, [encodeEvent(event)]).lines.subarray(0, -1);
}

function hashOf(line: Buffer): string {
  return JSON.parse(line.toString()).hash;
}

const nasty = fc.oneof(
  // Any UTF-16, halves of surrogate pairs too.
  fc.uint16Array({ maxLength: 40 }).map((units) => String.fromCharCode(...units)),
  fc.string(),
  fc.constantFrom(
    'a=b|c\\d]e"f',
    '\r\n<13>1 - forged - - - - x',
    '\u001b[31m',
    '\u2028',
    '10 <13>1 ',
    '\ud800',
    ' cs1=x ',
  ),
);
const anyEvent = fc.record({
  route: nasty,
  reason: nasty,
  rule: nasty,
  subject: nasty,
  tool: nasty,
  path: nasty,
  agent: nasty,
});

function eventFrom(
  of: Record<'route' | 'reason' | 'rule' | 'subject' | 'tool' | 'path' | 'agent', string>,
): AuditEvent {
  return eventOf('r1', {
    route: of.route,
    reason: of.reason,
    rule: of.rule,
    client: { address: '::1', userAgent: of.agent },
    principal: { kind: 'oauth', issuer: 'i', subject: of.subject },
    http: { method: 'POST', path: of.path },
    mcp: { method: 'tools/call', tool: of.tool },
  });
}

t.test('with the format json the message is the line, byte for byte, in an octet-counted frame', async (t) => {
  fc.assert(
    fc.property(fc.array(anyEvent, { minLength: 1, maxLength: 3 }), (events) => {
      const lines = events.map((event) => lineOf(eventFrom(event)));
      const messages = parseFrames(asJson(lines, none)).map(parseMessage);
      t.strictSame(
        messages.map(({ message }) => message.toString()),
        lines.map(String),
      );
      for (const [index, { data }] of messages.entries())
        t.equal(data['portcullis@32473']?.hash, hashOf(lines[index]!));
    }),
    { numRuns: 100 },
  );
});

t.test(
  'the header states facility, severity, time, host, process and stage; the structured data the place and the hash',
  async (t) => {
    const line = lineOf(eventOf('r1', { decision: 'deny', outcome: 'refused' }));
    const { message, ...rest } = parseMessage(parseFrames(asJson([line], none))[0]!);
    t.equal(message.toString(), line.toString());
    t.strictSame(rest, {
      priority: 13 * 8 + 4,
      time: '2026-11-23T05:45:00.000Z',
      host: 'host.example',
      app: 'portcullis',
      process: 'gw_1_',
      id: 'completed',
      data: { meta: { sequenceId: '1' }, 'portcullis@32473': { seq: '1', hash: hashOf(line) } },
    });
  },
);

t.test(
  'what RFC 5424 cannot express is the NILVALUE: no time, a year of five digits, a host without a name',
  async (t) => {
    const encode = createMessageEncoder({ ...options, hostname: '', format: 'json' });
    for (const time of [Number.NaN, 8e15]) {
      const { time: written, host } = parseMessage(parseFrames(encode([lineOf(eventOf('r1', { time }))], none))[0]!);
      t.strictSame([written, host], ['-', '-']);
    }
  },
);

t.test('sequenceId begins anew behind 2147483647', async (t) => {
  for (const [seq, expected] of [
    [2_147_483_647, '2147483647'],
    [2_147_483_648, '1'],
  ] as const) {
    const line = chainLines({ seq: seq - 1, hash: genesis.hash }, [encodeEvent(eventOf('r1'))]).lines.subarray(0, -1);
    t.equal(parseMessage(parseFrames(asJson([line], none))[0]!).data.meta?.sequenceId, expected);
  }
});

t.test('each kind of record has its severity in syslog and in CEF', async (t) => {
  const cases: [Partial<AuditEvent>, syslog: number, cef: string][] = [
    [{ stage: 'decided', decision: 'allow' }, 6, '1'],
    [{ outcome: 'completed', decision: 'allow' }, 6, '1'],
    [{ stage: 'head' }, 6, '1'],
    [{ stage: 'config' }, 5, '3'],
    [{ outcome: 'aborted', decision: 'allow' }, 5, '3'],
    [{ outcome: 'unknown', reason: 'restart' }, 5, '3'],
    [{ outcome: 'refused', reason: 'invalid_token' }, 4, '6'],
    [{ outcome: 'refused', decision: 'deny' }, 4, '6'],
    [{ outcome: 'failed', decision: 'allow' }, 3, '8'],
    [{ stage: 'config', reason: 'recovered' }, 3, '8'],
    [{ stage: 'config', reason: 'audit_truncated' }, 2, '10'],
    [{ reason: 'audit_truncated' }, 6, '1'],
  ];
  for (const [event, syslog, cef] of cases) {
    const line = lineOf(eventOf('r1', event));
    t.equal(parseMessage(parseFrames(asJson([line], none))[0]!).priority % 8, syslog, JSON.stringify(event));
    t.equal(parseCef(parseMessage(parseFrames(asCef([line], none))[0]!).message.toString()).header[6], cef);
  }
});

t.test('structured data and header fields of any text are read back', async (t) => {
  fc.assert(
    fc.property(nasty, (text) => {
      const value = Buffer.from(text).toString();
      const whole = Buffer.from(`<110>1 - ${headerField(text, 255)} a b c ${element('x@1', { value })} m`);
      const { host, data, message } = parseMessage(whole);
      t.match(host, /^[\x21-\x7e]{1,255}$/);
      t.equal(data['x@1']?.value, value);
      t.equal(message.toString(), 'm');
    }),
    { numRuns: 200 },
  );
});

t.test('CEF is one line without a control character, and its fields are read back, whatever they hold', async (t) => {
  fc.assert(
    fc.property(anyEvent, (of) => {
      const line = lineOf(eventFrom(of));
      const record = JSON.parse(line.toString());
      const text = parseMessage(parseFrames(asCef([line], none))[0]!).message.toString();
      t.notMatch(text, /[\p{Cc}\u2028\u2029]/u);
      const { header, extension } = parseCef(text);
      t.strictSame(header.slice(0, 4), ['CEF:0', 'Portcullis', 'mcp-portcullis', '1.2.3']);
      t.equal(extension.cs6, record.hash);
      t.equal(extension.cs6Label, 'recordHash');
      t.equal(extension.c6a2, '::1');
      t.equal(extension.suser ?? '', shown(record.principal.subject));
      t.equal(extension.cs1 ?? '', shown(record.rule));
      t.equal(extension.cs2 ?? '', shown(record.mcp.tool));
    }),
    { numRuns: 100 },
  );
});

/** As a reader of CEF sees it; half a surrogate pair has no UTF-8. */
function shown(text: string): string {
  return text
    .toWellFormed()
    .replace(/[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/gu, (unit) =>
      unit === '\n' || unit === '\r' ? unit : `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
    );
}

t.test('CEF escapes | and \\ in the header, = and \\ and line breaks in the extension', async (t) => {
  t.equal(headerText('a|b\\c=d\ne'), 'a\\|b\\\\c=d\\\\u000ae');
  t.equal(extensionText('a|b\\c=d\ne\rf\u001b'), 'a|b\\\\c\\=d\\ne\\rf\\\\u001b');
});
