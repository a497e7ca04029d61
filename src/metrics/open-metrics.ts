// OpenMetrics text of collected metrics, which has exemplars, and the negotiation of it.
import { Registry } from 'prom-client';
import type { MetricValues } from './sum.ts';

/** The media type of `openMetricsText`. */
export const openMetricsType = Registry.OPENMETRICS_CONTENT_TYPE;

/** OpenMetrics text. It is written from copies: prom-client takes `_total` from the names of counters for good. */
export function openMetricsText(collected: MetricValues): Promise<string> {
  const registry = openMetricsRegistry();
  for (const metric of collected) {
    const name = String(metric.type) === 'counter' ? metric.name.replace(/_total$/, '') : metric.name;
    registry.registerMetric({ name, type: metric.type, get: () => ({ ...metric, name }) } as never);
  }
  return registry.metrics();
}

/** A registry whose histograms may have exemplars. */
export function openMetricsRegistry(): Registry {
  const registry = new Registry();
  registry.setContentType(openMetricsType as never);
  return registry;
}

/** True for an `Accept` that wants OpenMetrics 1.0 at least as much as the text of Prometheus. */
export function acceptsOpenMetrics(accept: string | undefined): boolean {
  const ranges = (accept ?? '').split(',').map((range) => range.split(';').map((part) => part.trim().toLowerCase()));
  const weightOf = (type: string, version: string) =>
    Math.max(
      0,
      ...ranges
        .filter(
          ([name, ...parameters]) =>
            name === type && parameters.every((each) => !each.startsWith('version=') || each === version),
        )
        .map((range) => Number(range.find((part) => part.startsWith('q='))?.slice(2) ?? 1) || 0),
    );
  const weight = weightOf('application/openmetrics-text', 'version=1.0.0');
  return weight > 0 && weight >= weightOf('text/plain', 'version=0.0.4');
}

/** A value with its exemplar, which the types of prom-client leave out. */
type Exemplified = MetricValues[number]['values'][number] & {
  readonly metricName?: string;
  exemplar?: { readonly timestamp: number } | null;
};

/** The newest exemplar of each bucket of several processes, which a sum of their values does not have. */
export function exemplarsOf(processes: readonly MetricValues[]): Map<string, NonNullable<Exemplified['exemplar']>> {
  const newest = new Map<string, NonNullable<Exemplified['exemplar']>>();
  for (const value of processes.flat().flatMap(({ values }) => values as Exemplified[])) {
    const { exemplar } = value;
    const key = bucketOf(value);
    if (exemplar && exemplar.timestamp > (newest.get(key)?.timestamp ?? 0)) newest.set(key, exemplar);
  }
  return newest;
}

/** The sum with them. */
export function withExemplars(sum: MetricValues, exemplars: ReturnType<typeof exemplarsOf>): MetricValues {
  const exemplified = (value: Exemplified) => ({ ...value, exemplar: exemplars.get(bucketOf(value)) ?? null });
  return sum.map((metric) => ({ ...metric, values: metric.values.map(exemplified) }));
}

function bucketOf({ labels, metricName }: Exemplified): string {
  return JSON.stringify([metricName, Object.entries(labels).sort(([one], [other]) => (one < other ? -1 : 1))]);
}
