// Traces: the spans of a request, the contexts that it comes with and goes on with, and what they do not hold.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createMetrics } from '../../src/metrics/metrics.ts';
import { exemplarsOf, openMetricsText, withExemplars } from '../../src/metrics/open-metrics.ts';
import { sumMetrics } from '../../src/metrics/sum.ts';
import { toolCall } from '../support/client.ts';
import { openTestTracing, type ReceivedSpan, startCollector } from '../support/otlp-collector.ts';
import { startScenario } from '../support/scenario.ts';

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const clientSpan = '00f067aa0ba902b7';
const kept = `00-${traceId}-${clientSpan}-01`;

/** A gateway that traces to a collector. `flushed` stops it, and yields the spans. */
async function startTraced(t: Test, { sampleRatio = 0 } = {}, inject = true) {
  const collector = await startCollector();
  t.teardown(collector.close);
  const scenario = await startScenario(
    t,
    { tracing: { otlp: { endpoint: collector.url, headers: { 'x-tenant': 'acme' } }, sampleRatio } },
    { inject, logToFile: true },
  );
  const flushed = async () => {
    await scenario.gateway.close();
    return collector.spans();
  };
  return { ...scenario, collector, flushed };
}

/** The tree of a trace: each span with its kind, below its parent. */
function treeOf(spans: readonly ReceivedSpan[], parent: string, depth = 0): string {
  return spans
    .filter(({ parentSpanId }) => parentSpanId === parent)
    .sort((one, other) => Number(one.startNano - other.startNano))
    .map((span) => `${'   '.repeat(depth)}└─ ${span.name}  (${span.kind})\n${treeOf(spans, span.spanId, depth + 1)}`)
    .join('');
}

t.test('a call: client, gateway, upstream', async (t) => {
  const { agent, collector, flushed, matchingRecords, log, upstream } = await startTraced(t, {}, false);
  const state = 'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE';
  const answer = await agent.call(
    'list_dashboards',
    { secret: 'in an argument' },
    {
      path: '/mcp?access=hidden-in-the-query',
      headers: { traceparent: kept, tracestate: state },
    },
  );
  t.equal(answer.status, 200);
  const records = await matchingRecords(2, ({ id }) => id === answer.id);
  const spans = await flushed();
  const server = spans.find(({ kind }) => kind === 'server')!;
  const client = spans.find(({ kind }) => kind === 'client')!;
  t.same([...new Set(spans.map((span) => span.traceId))], [traceId], 'all of one trace');
  t.match(server, { name: 'tools/call list_dashboards', parentSpanId: clientSpan, traceState: state, isError: false });
  t.same(server.attributes, {
    ...mcp,
    'http.request.method': 'POST',
    'http.response.status_code': 200,
    'http.route': '/mcp',
    'url.path': '/mcp',
    'url.scheme': 'https',
    'server.address': 'mcp.example.com',
    'server.port': 443,
    'client.address': '127.0.0.1',
    'network.transport': 'tcp',
    'network.protocol.name': 'http',
    'network.protocol.version': '1.1',
    'portcullis.request.id': answer.id,
    'portcullis.route': '/mcp',
    'portcullis.client.id': 'ai_agent_prod',
    'portcullis.outcome': 'completed',
  });
  const { port } = new URL(upstream.url);
  t.same(client.attributes, {
    ...mcp,
    'http.request.method': 'POST',
    'http.response.status_code': 200,
    'url.full': `${upstream.url}/mcp`,
    'server.address': '127.0.0.1',
    'server.port': Number(port),
    'network.protocol.name': 'http',
    'portcullis.upstream': 'superset',
  });
  t.match(spans.find(({ name }) => name === 'decide')!.attributes, {
    'portcullis.policy': records[0]!.policy,
    'portcullis.decision': 'allow',
    'portcullis.rule': 'rules[0]',
  });
  t.match(spans.find(({ name }) => name === 'authenticate')!.attributes, {
    'portcullis.credentials': ['access-token'],
    'portcullis.authenticators': ['corp'],
    'portcullis.client.id': 'ai_agent_prod',
  });
  t.same(
    records.map(({ trace }) => trace),
    [1, 2].map(() => ({ id: traceId, span: server.spanId })),
    'both records name the span',
  );
  const [forwarded] = upstream.requests;
  t.same(forwarded!.header('traceparent'), [`00-${traceId}-${client.spanId}-01`]);
  t.same(forwarded!.header('tracestate'), [state]);
  t.match(await log(), new RegExp(`"traceId":"${traceId}","msg":"request"`));
  t.match(collector.resource(), { 'service.name': 'portcullis', 'service.version': 'test' });
  t.same(collector.requests[0]!.header('x-tenant'), ['acme']);
  t.notOk(spans.some(({ isError }) => isError));
  const exported = collector.requests.map(({ body }) => body.toString()).join();
  for (const secret of [agent.headers.authorization!.slice(7), 'in an argument', 'hidden-in-the-query'])
    t.notOk(exported.includes(secret), 'no secret is exported');

  const upstreamSpan = {
    ...client,
    name: 'tools/call list_dashboards',
    kind: 'server',
    spanId: 'upstream',
    parentSpanId: client.spanId,
  } as const;
  const caller = {
    ...server,
    name: 'tools/call list_dashboards',
    kind: 'client',
    spanId: clientSpan,
    parentSpanId: '',
  } as const;
  const tree = treeOf([caller, ...spans, upstreamSpan], '');
  t.ok(
    readFileSync(join(import.meta.dirname, '../../docs/tracing.md'), 'utf8').includes(tree),
    `docs/tracing.md has\n${tree}`,
  );
});

const mcp = {
  'mcp.method.name': 'tools/call',
  'jsonrpc.request.id': '1',
  'gen_ai.operation.name': 'execute_tool',
  'gen_ai.tool.name': 'list_dashboards',
};

t.test('`params._meta.traceparent` wins, the header is linked, and the message stays as it was judged', async (t) => {
  const { agent, flushed, upstream } = await startTraced(t);
  const inBody = { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, tracestate: 'body=1' };
  const call = toolCall('list_dashboards') as { readonly params: object };
  const message = JSON.stringify({ ...call, params: { ...call.params, _meta: inBody } });
  await agent.post(Buffer.from(message), { headers: { traceparent: kept, tracestate: 'header=1' } });
  const spans = await flushed();
  const server = spans.find(({ kind }) => kind === 'server')!;
  t.match(server, { traceId: 'a'.repeat(32), parentSpanId: 'b'.repeat(16), links: [{ traceId, spanId: clientSpan }] });
  const [forwarded] = upstream.requests;
  t.equal(forwarded!.body.toString(), message);
  t.match(forwarded!.header('traceparent'), [new RegExp(`^00-${'a'.repeat(32)}-[\\da-f]{16}-01$`)]);
  t.same(forwarded!.header('tracestate'), ['body=1']);
});

t.test('a denied call: its reason, no upstream, and the record that the answer waits for', async (t) => {
  const { agent, flushed, recordOf, upstream } = await startTraced(t);
  const answer = await agent.call('execute_sql', {}, { headers: { traceparent: kept } });
  const record = await recordOf(answer);
  const spans = await flushed();
  const server = spans.find(({ kind }) => kind === 'server')!;
  t.same(
    spans.map(({ name }) => name).sort(),
    ['authenticate', 'decide', 'receive body', 'tools/call', 'write audit record'],
    'a tool that no rule names makes no name',
  );
  t.match(server, { isError: true, attributes: { 'error.type': 'denied', 'gen_ai.tool.name': 'execute_sql' } });
  t.match(
    spans.find(({ name }) => name === 'decide'),
    {
      isError: true,
      attributes: { 'portcullis.decision': 'deny', 'portcullis.reason': 'denied', 'error.type': 'denied' },
    },
  );
  t.same(record.trace, { id: traceId, span: server.spanId });
  t.equal(upstream.requests.length, 0);
});

t.test('a trace that is not kept goes on with its ids, and exports nothing', async (t) => {
  const { agent, collector, flushed, recordOf, upstream } = await startTraced(t);
  const answer = await agent.call('list_dashboards', {}, { headers: { traceparent: kept.replace(/01$/, '00') } });
  const untraced = await agent.call('list_dashboards');
  const [record, own] = [await recordOf(answer), await recordOf(untraced)];
  t.same(upstream.requests[0]!.header('traceparent'), [`00-${traceId}-${record.trace!.span}-00`]);
  t.match(own.trace, { id: /^[\da-f]{32}$/, span: /^[\da-f]{16}$/ });
  t.same(await flushed(), []);
  t.equal(collector.requests.length, 0);
});

t.test('a malformed context begins another trace, and goes to nobody', async (t) => {
  const { agent, recordOf, upstream } = await startTraced(t);
  const headers = { traceparent: `${kept}-more`, tracestate: 'a=1' };
  const { trace } = await recordOf(await agent.call('list_dashboards', {}, { headers }));
  t.not(trace!.id, traceId);
  t.same(upstream.requests[0]!.header('traceparent')[0]!.slice(3, 35), trace!.id);
  t.same(upstream.requests[0]!.header('tracestate'), []);
});

t.test('an event stream: its spans end with it', async (t) => {
  const collector = await startCollector();
  t.teardown(collector.close);
  const { agent, gateway } = await startScenario(
    t,
    { tracing: { otlp: { endpoint: collector.url }, sampleRatio: 1 } },
    {
      reply(_request, response) {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write('data: {"jsonrpc":"2.0","method":"notifications/message","params":{}}\n\n');
      },
    },
  );
  const stream = await agent.hold({ path: '/api/events' });
  await stream.leave();
  await gateway.close();
  const [server, client] = ['server', 'client'].map((kind) => collector.spans().find((span) => span.kind === kind)!);
  t.match(server, { name: 'GET /api/*', attributes: { 'portcullis.outcome': 'aborted', 'url.path': '/api/events' } });
  t.match(client, { name: 'GET /api/*', parentSpanId: server!.spanId });
});

t.test('a collector that answers with a page, refuses, or rejects spans: counted, and logged', async (t) => {
  for (const [status, answer, outcome] of [
    [200, '<html>', { export_failed: 2 }],
    [401, '', { export_failed: 2 }],
    [200, '{"partialSuccess":{"rejectedSpans":"1"}}', { exported: 1, rejected: 1 }],
    [200, '', { exported: 2 }],
  ] as const) {
    const collector = await startCollector((_request, response) => void response.writeHead(status).end(answer));
    t.teardown(collector.close);
    const { counts, end, lines, tracing } = await openTestTracing(collector.url);
    end();
    end();
    await tracing.close();
    t.same(counts, outcome);
    t.equal(lines.length, counts.exported === 2 ? 0 : 1);
  }
});

t.test('a reload begins tracing, leaves an equal one alone, and ends it', async (t) => {
  const [first, second] = [await startCollector(), await startCollector()];
  t.teardown(first.close);
  t.teardown(second.close);
  const to = ({ url }: typeof first) => ({ tracing: { otlp: { endpoint: url }, sampleRatio: 1 } });
  const { agent, gateway, recordOf, reload, upstream } = await startScenario(t, {}, { inject: true });
  const headers = { traceparent: kept, tracestate: 'a=1' };
  const traced = async () => (await recordOf(await agent.call('list_dashboards', {}, { headers }))).trace !== undefined;
  t.equal(await traced(), false);
  t.same(upstream.requests[0]!.header('traceparent'), [kept], 'without tracing the headers of the client go on');
  t.same(upstream.requests[0]!.header('tracestate'), ['a=1']);
  await reload(to(first));
  t.equal(await traced(), true);
  await reload({ ...to(first), scopeImplies: { 'dashboards:write': ['dashboards:read'] } });
  await reload(to(second));
  t.equal(await traced(), true);
  await gateway.close();
  await first.received(1);
  t.equal(first.spans().length, 6, 'a replaced one exports what its requests have ended');
  t.equal(second.spans().length, 6);
});

t.test('latency histograms name a trace in OpenMetrics, and in no other text', async (t) => {
  const { agent, gateway, metrics } = await startTraced(t);
  await agent.call('list_dashboards', {}, { headers: { traceparent: kept } });
  const openMetrics = async () => {
    const headers = {
      accept: 'application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1',
    };
    return gateway.admin.inject({ url: '/metrics', headers });
  };
  const { headers, payload } = await openMetrics();
  t.match(headers['content-type'], /^application\/openmetrics-text; version=1\.0\.0/);
  const exemplar = new RegExp(
    `^portcullis_request_duration_seconds_bucket\\{.*\\} 1 # \\{trace_id="${traceId}",span_id="[\\da-f]{16}"\\} [\\d.]+ [\\d.]+$`,
    'm',
  );
  t.match(payload, exemplar);
  t.match(payload, /^# TYPE portcullis_requests counter\nportcullis_requests_total\{.*\} 1$/m);
  t.match(payload, /\n# EOF\n$/);
  const plain = await metrics();
  t.notMatch(plain, / # \{/);
  t.match(plain, /^# TYPE portcullis_requests_total counter\nportcullis_requests_total\{.*\} 1$/m, 'the names stay');
  t.equal((await openMetrics()).payload.split('_total_total').length, 1);
});

t.test('the sum of two workers has the newest exemplar of each bucket', async (t) => {
  const source = { keySets: [], certificates: [], revocationLists: [], apiKeys: [], probes: [] };
  const workers = ['a', 'b'].map((digit) => {
    const metrics = createMetrics('test', { exemplars: true });
    metrics.upstreamResponded('superset', 0.002, { trace_id: digit.repeat(32), span_id: digit.repeat(16) });
    return metrics;
  });
  const values = await Promise.all(workers.map((metrics) => metrics.values(source)));
  const sent = JSON.parse(JSON.stringify(values)) as typeof values;
  const buckets = sent[1]!.find(({ name }) => name === 'portcullis_upstream_request_duration_seconds')!.values;
  for (const { exemplar } of buckets as { exemplar?: { timestamp: number } | null }[])
    if (exemplar) exemplar.timestamp += 1;
  const text = await openMetricsText(withExemplars(await sumMetrics(sent).getMetricsAsJSON(), exemplarsOf(sent)));
  t.match(text, new RegExp(`le="0.0025".* 2 # \\{trace_id="${'b'.repeat(32)}"`));
  t.equal(text.split('trace_id=').length, 2);
});
