// Tracing (OpenTelemetry): spans of requests, the sampling decision, and their export. Its packages are loaded only where it is configured.
import type { Attributes, Context, Link, Span, SpanKind } from '@opentelemetry/api';
import type { Log } from '../log.ts';
import type { Egress } from '../oauth/egress.ts';
import { createOtlpExporter, type ObserveSpans } from './otlp-exporter.ts';
import type { TracingConfig } from './schema.ts';
import { formatTraceparent, type RemoteContext } from './trace-context.ts';

/** Options of `openTracing`. */
export interface TracingOptions {
  readonly config: TracingConfig;
  /** The content of `caFile`, in PEM. */
  readonly authorities: readonly string[] | undefined;
  readonly egress: Egress;
  readonly version: string;
  readonly log: Log;
  readonly now: () => number;
  readonly observe: ObserveSpans;
}

/** The start of a request's span. */
export interface RequestStart {
  /** The context that the span belongs to; undefined: a new trace. */
  readonly parent: RemoteContext | undefined;
  /** A further context that the request came with. */
  readonly linked: RemoteContext | undefined;
  /** A verified caller, whose word to keep the trace counts. */
  readonly trusted: boolean;
  /** Monotonic milliseconds. */
  readonly startMs: number;
}

/** A span that has begun, of a trace that is kept. */
export interface OpenSpan {
  readonly spanId: string;
  /** Ends it, now by default. With `error` its status is an error, and `error.type` names it. */
  end(end?: { readonly attributes?: Attributes; readonly error?: string | undefined; readonly endMs?: number }): void;
}

/** The span of a request. */
export interface RequestSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** The trace is kept; otherwise nothing is exported, and the ids alone go on. */
  readonly sampled: boolean;
  /** A valid `tracestate` of the caller. */
  readonly state: string | undefined;
  /** Begins a child; undefined where the trace is not kept. */
  child(name: string, kind: 'internal' | 'client', startMs: number): OpenSpan | undefined;
  /** Ends it under a name that is known by then. */
  end(end: { readonly name: string; readonly attributes: Attributes; readonly error: string | undefined }): void;
}

/** Tracing of one configuration. */
export interface Tracing {
  /** Equal for two configurations that trace alike. */
  readonly key: string;
  startRequest(start: RequestStart): RequestSpan;
  /** Exports what has ended, for at most `flushTimeoutMs`. */
  close(): Promise<void>;
}

/** Traces a second that are kept on the word of callers. Beyond, `sampleRatio` decides as for traces that begin here. */
const followedPerSecond = 100;
const flushTimeoutMs = 2000;
const queue = { maxQueueSize: 8192, maxExportBatchSize: 256, scheduledDelayMillis: 1000, exportTimeoutMillis: 30_000 };
const maxValueLength = 256;

/** Everything that tracing of a configuration is made of, as text. */
export function tracingKey({
  config,
  authorities,
  egress,
}: Pick<TracingOptions, 'config' | 'authorities' | 'egress'>): string {
  return JSON.stringify([config, authorities, egress]);
}

/** Loads the packages and opens the exporter, which connects with its first spans. Throws an Error of one line where a package is missing. */
export async function openTracing(options: TracingOptions): Promise<Tracing> {
  const { config, log, now, observe, version } = options;
  const { api, sdk, resources, transformer } = await loadPackages();
  const { otlp, sampleRatio } = config;
  const exporter = createOtlpExporter({
    ...options,
    ...otlp,
    serializer: transformer.JsonTraceSerializer,
    log,
    observe,
  });
  const provider = new sdk.TracerProvider({
    resource: resources.resourceFromAttributes({ 'service.name': 'portcullis', 'service.version': version }),
    sampler: new sdk.AlwaysOnSampler(),
    spanLimits: { attributeValueLengthLimit: maxValueLength },
    spanProcessors: [
      new sdk.BatchSpanProcessor({ exporter, ...queue, selfObsMeterProvider: queueMeter(api, observe) }),
    ],
  });
  const tracer = provider.getTracer('portcullis', version);
  const ids = new sdk.RandomIdGenerator();
  const mayFollow = createAllowance(followedPerSecond, now);
  const kinds: Record<'internal' | 'client', SpanKind> = {
    internal: api.SpanKind.INTERNAL,
    client: api.SpanKind.CLIENT,
  };

  function isSampled({ parent, trusted }: RequestStart): boolean {
    if (parent?.sampled === false) return false;
    return (parent !== undefined && trusted && mayFollow()) || Math.random() < sampleRatio;
  }

  const contextOf = ({ traceId, spanId, sampled, state }: RemoteContext) => ({
    traceId,
    spanId,
    traceFlags: sampled ? api.TraceFlags.SAMPLED : api.TraceFlags.NONE,
    isRemote: true,
    ...(state !== undefined && { traceState: api.createTraceState(state) }),
  });

  function open(
    name: string,
    kind: SpanKind,
    startTime: number,
    parent: Context,
    links: Link[] = [],
  ): OpenSpan & { span: Span } {
    const span = tracer.startSpan(name, { kind, startTime, links }, parent);
    return {
      span,
      spanId: span.spanContext().spanId,
      end({ attributes, error, endMs } = {}) {
        if (attributes !== undefined) span.setAttributes(attributes);
        if (error !== undefined) span.setAttribute('error.type', error).setStatus({ code: api.SpanStatusCode.ERROR });
        span.end(endMs);
      },
    };
  }

  return {
    key: tracingKey(options),
    startRequest(start) {
      const { parent, linked, startMs } = start;
      const state = parent?.state;
      if (!isSampled(start)) return unsampled(parent?.traceId ?? ids.generateTraceId(), ids.generateSpanId(), state);
      const remote =
        parent === undefined ? api.ROOT_CONTEXT : api.trace.setSpanContext(api.ROOT_CONTEXT, contextOf(parent));
      const links = linked === undefined ? [] : [{ context: contextOf(linked) }];
      const server = open('request', api.SpanKind.SERVER, startMs, remote, links);
      const inner = api.trace.setSpan(api.ROOT_CONTEXT, server.span);
      return {
        traceId: server.span.spanContext().traceId,
        spanId: server.spanId,
        sampled: true,
        state,
        child: (name, kind, startedMs) => open(name, kinds[kind], startedMs, inner),
        end({ name, ...end }) {
          server.span.updateName(name);
          server.end(end);
        },
      };
    },
    async close() {
      const timer = setTimeout(exporter.abort, flushTimeoutMs);
      // A failed export is counted by the exporter.
      await provider.shutdown().catch(() => {});
      clearTimeout(timer);
    },
  };
}

function unsampled(traceId: string, spanId: string, state: string | undefined): RequestSpan {
  return { traceId, spanId, sampled: false, state, child: () => undefined, end() {} };
}

/** The headers that carry the trace on to an upstream; `span` is the one that sends. */
export function traceHeaders(
  { traceId, spanId, sampled, state }: RequestSpan,
  span: OpenSpan | undefined,
): readonly string[] {
  const traceparent = formatTraceparent(traceId, span?.spanId ?? spanId, sampled);
  return state === undefined ? ['traceparent', traceparent] : ['traceparent', traceparent, 'tracestate', state];
}

/** True at most `perSecond` times in each second. */
function createAllowance(perSecond: number, now: () => number): () => boolean {
  let second = 0;
  let taken = 0;
  return () => {
    const current = Math.floor(now() / 1000);
    if (current !== second) {
      second = current;
      taken = 0;
    }
    taken += 1;
    return taken <= perSecond;
  };
}

type Api = typeof import('@opentelemetry/api');

/** The meter by which the queue tells what it had no room for. */
function queueMeter(api: Api, observe: ObserveSpans) {
  const counter = {
    add(spans: number, attributes?: Attributes) {
      if (attributes?.['error.type'] === 'queue_full') observe.dropped('queue_full', spans);
    },
  };
  const meter = Object.assign(api.createNoopMeter(), { createCounter: () => counter });
  return { getMeter: () => meter };
}

async function loadPackages() {
  try {
    const [api, sdk, resources, transformer] = await Promise.all([
      import('@opentelemetry/api'),
      import('@opentelemetry/sdk-trace'),
      import('@opentelemetry/resources'),
      import('@opentelemetry/otlp-transformer'),
    ]);
    return { api, sdk, resources, transformer };
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'ERR_MODULE_NOT_FOUND')) throw cause;
    const names = ['api', 'sdk-trace', 'resources', 'otlp-transformer']
      .map((name) => `@opentelemetry/${name}`)
      .join(' ');
    throw new Error(`tracing: its packages are not installed: npm install ${names}`, { cause });
  }
}
