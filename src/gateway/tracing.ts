// Tracing of a configuration, carried over by a reload that does not change it.
import type { LoadedConfig } from '../config/load.ts';
import type { Log } from '../log.ts';
import { authoritiesOf } from '../oauth/authorities.ts';
import type { ObserveSpans } from '../telemetry/otlp-exporter.ts';
import { openTracing, type Tracing, tracingKey } from '../telemetry/tracing.ts';

/** Process-wide parts that tracing needs. */
export interface TracingRuntime {
  readonly log: Log;
  readonly now: () => number;
  readonly spans: ObserveSpans;
  readonly version: string;
}

/** That of `previous` where it traces alike. A replaced one exports what its requests end, and is then idle. */
export async function tracingOf(
  { config: { tracing: config }, egress, files }: LoadedConfig,
  { log, now, spans, version }: TracingRuntime,
  previous: Tracing | undefined,
): Promise<Tracing | undefined> {
  if (config === undefined) return undefined;
  const options = { config, authorities: authoritiesOf(config.otlp, { files }), egress };
  if (previous?.key === tracingKey(options)) return previous;
  return openTracing({ ...options, log, observe: spans, version, now });
}
