// Sum of the metrics of several processes (prom-client), each by the aggregator that it was declared with.
import { AggregatorRegistry, type MetricObjectWithValues, type MetricValue, type Registry } from 'prom-client';

/** The values of a registry. */
export type MetricValues = MetricObjectWithValues<MetricValue<string>>[];

/** Adds the values up. */
export function sumMetrics(values: readonly MetricValues[]): Pick<Registry, 'metrics' | 'getMetricsAsJSON'> {
  return AggregatorRegistry.aggregate([...values]);
}

/** The part that outlives a process: counts, which never go down. */
export function countsOf(values: MetricValues): MetricValues {
  return values.filter(({ type }) => `${type}` === 'counter' || `${type}` === 'histogram');
}
