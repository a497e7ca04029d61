// Exporter of spans by OTLP/HTTP as JSON: bounded in time and size, retried where OTLP says so, through the egress proxy.
import { setTimeout as delay } from 'node:timers/promises';
import type { ISerializer } from '@opentelemetry/otlp-transformer';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';
import { messageOf } from '../errors.ts';
import { otlpUrl } from '../http/otlp-url.ts';
import type { Log } from '../log.ts';
import type { Egress } from '../oauth/egress.ts';
import { answerBounded, createBoundedAgent, RequestFailure } from '../oauth/http-client.ts';

/** The reason for which spans were dropped; a closed list, used as a metric label. */
export type DropReason = 'queue_full' | 'export_failed' | 'rejected';

/** Told the outcome of spans. */
export interface ObserveSpans {
  exported(spans: number): void;
  dropped(reason: DropReason, spans: number): void;
}

/** Options of `createOtlpExporter`. */
export interface OtlpExporterOptions {
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly authorities: readonly string[] | undefined;
  readonly egress: Egress;
  readonly serializer: ISerializer<ReadableSpan[], object>;
  readonly log: Log;
  readonly observe: ObserveSpans;
}

/** An exporter whose exports can be given up. */
export interface OtlpExporter extends SpanExporter {
  /** Ends what is under way, which then has failed. */
  abort(): void;
}

const path = '/v1/traces';
/** For one batch with its retries. */
const exportTimeoutMs = 10_000;
const attemptTimeoutMs = 5000;
const maxAnswerBytes = 64 * 1024;
const firstRetryMs = 500;
const maxRetryMs = 4000;
/** OTLP 1.x, Failures: the statuses that are retried. */
const retried = new Set([429, 502, 503, 504]);

/** Creates the exporter. An outage of the collector is logged once, and its end too. */
export function createOtlpExporter(options: OtlpExporterOptions): OtlpExporter {
  const { authorities, egress, log, observe, serializer } = options;
  const url = otlpUrl(options.endpoint, path);
  const agent = createBoundedAgent({ timeoutMs: attemptTimeoutMs, connections: 4, authorities, egress });
  const closing = new AbortController();
  let failing = false;

  async function send(spans: ReadableSpan[]): Promise<number> {
    const body = Buffer.from(serializer.serializeRequest(spans)!).toString();
    const headers = { ...options.headers, 'content-type': 'application/json' };
    const end = AbortSignal.any([closing.signal, AbortSignal.timeout(exportTimeoutMs)]);
    for (let waitMs = firstRetryMs; ; waitMs = Math.min(2 * waitMs, maxRetryMs)) {
      try {
        const signal = AbortSignal.any([end, AbortSignal.timeout(attemptTimeoutMs)]);
        const bounds = { agent, signal, maxBytes: maxAnswerBytes, statuses: [200, 202] };
        return rejectedBy((await answerBounded(url, { ...bounds, method: 'POST', headers, body })).body);
      } catch (error) {
        if (end.aborted || !isRetried(error)) throw error;
        // With jitter, so that replicas do not come back together.
        const waited = await delay(waitMs * (0.5 + Math.random()), true, { signal: end, ref: false }).catch(
          () => false,
        );
        if (!waited) throw error;
      }
    }
  }

  function failed(problem: string): void {
    if (!failing) log.warn(`traces are not exported to ${url}: ${problem}; requests are not affected`);
    failing = true;
  }

  return {
    export(spans, done) {
      send(spans).then(
        (rejected) => {
          observe.exported(spans.length - Math.min(rejected, spans.length));
          if (rejected > 0) {
            observe.dropped('rejected', Math.min(rejected, spans.length));
            failed('the collector rejects spans');
          } else if (failing) {
            failing = false;
            log.info(`traces are exported to ${url} again`);
          }
          done({ code: 0 });
        },
        (error: unknown) => {
          observe.dropped('export_failed', spans.length);
          if (!closing.signal.aborted) failed(messageOf(error));
          done({ code: 1 });
        },
      );
    },
    abort: () => closing.abort(),
    async shutdown() {
      agent.close();
    },
  };
}

/** The spans that the collector did not take. Throws where the answer is not one of OTLP, such as a page of something else. */
function rejectedBy(answer: Buffer): number {
  if (answer.length === 0) return 0;
  const { partialSuccess } = Object(JSON.parse(answer.toString())) as { partialSuccess?: { rejectedSpans?: unknown } };
  const rejected = Number(partialSuccess?.rejectedSpans ?? 0);
  return rejected > 0 ? rejected : 0;
}

function isRetried(error: unknown): boolean {
  if (!(error instanceof RequestFailure)) return false;
  return error.reason === 'status'
    ? retried.has(error.status ?? 0)
    : ['connection', 'proxy', 'timeout'].includes(error.reason);
}
