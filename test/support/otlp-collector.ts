// A collector for tests: a real OTLP/HTTP receiver that decodes the spans it gets.
import type { Log } from '../../src/log.ts';
import { openTracing, type TracingOptions } from '../../src/telemetry/tracing.ts';
import { type Reply, startUpstream, type TestUpstream } from './upstream.ts';

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the first span of a trace. */
  readonly parentSpanId: string;
  readonly traceState: string;
  readonly name: string;
  readonly kind: 'internal' | 'server' | 'client';
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly isError: boolean;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly startNano: bigint;
  readonly endNano: bigint;
}

export interface TestCollector extends TestUpstream {
  /** All spans so far. */
  spans(): ReceivedSpan[];
  /** Attributes of the first batch's resource. */
  resource(): Readonly<Record<string, unknown>>;
}

/** Takes everything. */
export const takeAll: Reply = (_request, response) => {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end('{"partialSuccess":{}}');
};

/** Starts it on loopback; close it in `t.teardown`. */
export async function startCollector(reply: Reply = takeAll): Promise<TestCollector> {
  const server = await startUpstream({ reply });
  const batches = () => server.requests.flatMap(({ body }) => (JSON.parse(body.toString()) as Batch).resourceSpans);
  return {
    ...server,
    spans: () => batches().flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans.map(decode))),
    resource: () => attributesOf(batches()[0]!.resource.attributes),
  };
}

interface Batch {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly KeyValue[] };
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
  }[];
}

interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly traceState?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly KeyValue[];
  readonly status: { readonly code: number };
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
}

interface KeyValue {
  readonly key: string;
  readonly value: AnyValue;
}

type AnyValue = Readonly<Record<string, unknown>> & { readonly arrayValue?: { readonly values: readonly AnyValue[] } };

/** OTLP 1.x, Span.SpanKind. */
const kinds = ['internal', 'internal', 'server', 'client'] as const;
const errorStatus = 2;

function decode(span: OtlpSpan): ReceivedSpan {
  return {
    traceId: span.traceId,
    spanId: span.spanId,
    parentSpanId: span.parentSpanId ?? '',
    traceState: span.traceState ?? '',
    name: span.name,
    kind: kinds[span.kind]!,
    attributes: attributesOf(span.attributes),
    isError: span.status.code === errorStatus,
    links: span.links.map(({ traceId, spanId }) => ({ traceId, spanId })),
    startNano: BigInt(span.startTimeUnixNano),
    endNano: BigInt(span.endTimeUnixNano),
  };
}

function attributesOf(pairs: readonly KeyValue[]): Record<string, unknown> {
  return Object.fromEntries(pairs.map(({ key, value }) => [key, decodeValue(value)]));
}

function decodeValue({ arrayValue, ...single }: AnyValue): unknown {
  return arrayValue === undefined ? Object.values(single)[0] : arrayValue.values.map(decodeValue);
}

/** Tracing to a collector without a gateway, and what it tells of its spans. */
export async function openTestTracing(
  endpoint: string,
  { sampleRatio = 1, now = Date.now }: { readonly sampleRatio?: number; readonly now?: TracingOptions['now'] } = {},
) {
  const counts: Record<string, number> = {};
  const lines: string[] = [];
  const count = (outcome: string, spans: number) => {
    counts[outcome] = (counts[outcome] ?? 0) + spans;
  };
  const say = (line: string) => void lines.push(line);
  const tracing = await openTracing({
    config: { otlp: { endpoint, headers: {}, insecure: false }, sampleRatio },
    authorities: undefined,
    egress: { https: undefined, http: undefined, except: [] },
    version: 'test',
    log: { info: say, warn: say } as unknown as Log,
    now,
    observe: { exported: (spans) => count('exported', spans), dropped: count },
  });
  /** Ends a span. */
  const end = () =>
    tracing
      .startRequest({ parent: undefined, linked: undefined, trusted: false, startMs: performance.now() })
      .end({ name: 'test', attributes: {}, error: undefined });
  return { tracing, counts, lines, end };
}
