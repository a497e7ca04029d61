// Audit records as OTLP log records: the line as the body, its hash as the unique id, OpenTelemetry's names for what it names.
import fc from 'fast-check';
import t from 'tap';
import { createEventEncoder } from '../../../../src/audit/encode.ts';
import type { AuditEvent } from '../../../../src/audit/event.ts';
import { type ChainHead, chainLines, genesis } from '../../../../src/audit/hash-chain.ts';
import { encodeLogs as encodeLines } from '../../../../src/audit/sinks/otlp/log-records.ts';
import { eventOf, someTime } from '../../support.ts';
import { decodeLogs } from './decode.ts';

function linesOf(events: readonly AuditEvent[], instance = 'gw-1', head: ChainHead = genesis): Buffer[] {
  const { lines } = chainLines(head, events.map(createEventEncoder(instance)));
  return lines
    .toString()
    .split('\n')
    .slice(0, -1)
    .map((line) => Buffer.from(line));
}

function encodeLogs(lines: readonly Buffer[], version: string): string {
  const parse = (text: string) => ({ text, hash: JSON.parse(text).hash, record: () => JSON.parse(text) });
  return encodeLines(lines.map(String).map(parse), version).join('');
}

t.test('a record has its line as the body, its hash as the unique id, and its members as attributes', async (t) => {
  const [line] = linesOf([
    eventOf('r1', {
      route: 'superset-mcp',
      client: { address: '10.0.0.1', userAgent: 'agent/1' },
      principal: { kind: 'oauth', issuer: 'i', subject: 'alice', clientId: 'ai_agent_prod' },
      http: { method: 'POST', path: '/mcp' },
      mcp: { method: 'tools/call', tool: 'execute_sql' },
      scopes: { granted: [], required: ['a', 'b'], missing: ['a', 'b'] },
      decision: 'deny',
      reason: 'insufficient_scope',
      status: 403,
      outcome: 'refused',
      trace: { id: '0af7651916cd43dd8448eb211c80319c', span: 'b7ad6b7169203331' },
    }),
  ]);
  const [log] = decodeLogs(encodeLogs([line!], '1.2.3'));
  t.equal(log?.body, line!.toString());
  t.strictSame(log, {
    timeUnixNano: `${someTime}000000`,
    observedTimeUnixNano: `${someTime}000000`,
    severityNumber: 13,
    severityText: 'warning',
    eventName: 'portcullis.audit.completed',
    body: line!.toString(),
    attributes: {
      'log.record.uid': JSON.parse(line!.toString()).hash,
      'client.address': '10.0.0.1',
      'user_agent.original': 'agent/1',
      'user.id': 'alice',
      'http.request.method': 'POST',
      'url.path': '/mcp',
      'http.response.status_code': '403',
      'mcp.method.name': 'tools/call',
      'gen_ai.tool.name': 'execute_sql',
      'portcullis.seq': '1',
      'portcullis.request.id': 'r1',
      'portcullis.route': 'superset-mcp',
      'portcullis.client.id': 'ai_agent_prod',
      'portcullis.decision': 'deny',
      'portcullis.reason': 'insufficient_scope',
      'portcullis.outcome': 'refused',
      'portcullis.scopes.missing': 'a b',
      'portcullis.policy': 'p1',
    },
    traceId: '0af7651916cd43dd8448eb211c80319c',
    spanId: 'b7ad6b7169203331',
    resource: { 'service.name': 'portcullis', 'service.version': '1.2.3', 'service.instance.id': 'gw-1' },
  });
});

t.test('the order stays where a batch has records of several processes', async (t) => {
  const lines = [
    ...linesOf([eventOf('a1'), eventOf('a2')], 'a'),
    ...linesOf([eventOf('b1')], 'b'),
    ...linesOf([eventOf('a3')], 'a'),
  ];
  const logs = decodeLogs(encodeLogs(lines, '1'));
  t.strictSame(
    logs.map(({ body }) => body),
    lines.map(String),
  );
  t.strictSame(
    logs.map(({ resource }) => resource['service.instance.id']),
    ['a', 'a', 'b', 'a'],
  );
});

t.test(
  'whatever a client sends, and a clock without a valid time, make a valid request with the same lines',
  async (t) => {
    // Any UTF-16, halves of surrogate pairs too.
    const text = fc.uint16Array({ maxLength: 30 }).map((units) => String.fromCharCode(...units));
    const time = fc.constantFrom(someTime, Number.NaN, -1, 8e15);
    fc.assert(
      fc.property(fc.array(fc.tuple(text, text, time), { minLength: 1, maxLength: 4 }), (all) => {
        const lines = linesOf(
          all.map(([tool, path, at]) => eventOf('r', { time: at, mcp: { tool }, http: { method: 'GET', path } })),
        );
        const logs = decodeLogs(encodeLogs(lines, '1'));
        t.strictSame(
          logs.map(({ body }) => body),
          lines.map(String),
        );
      }),
      { numRuns: 8 },
    );
  },
);
