// Pauses of the garbage collector as a histogram.
import { constants, PerformanceObserver } from 'node:perf_hooks';
import { Histogram, type Registry } from 'prom-client';

const pauseBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1];
const gcKinds: Readonly<Record<number, string>> = {
  [constants.NODE_PERFORMANCE_GC_MAJOR]: 'major',
  [constants.NODE_PERFORMANCE_GC_MINOR]: 'minor',
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL]: 'incremental',
  [constants.NODE_PERFORMANCE_GC_WEAKCB]: 'weakcb',
};

/** PerformanceNodeEntry of a collection, which the types of Node lack. */
interface GcEntry {
  readonly duration: number;
  readonly detail: { readonly kind: number };
}

/** Observes each pause in its histogram. It takes the place of prom-client's own histogram, which counts one collection for each turn of the event loop that had any. */
export function observePauses(registry: Registry): void {
  const name = 'nodejs_gc_duration_seconds';
  registry.removeSingleMetric(name);
  const help = 'Pauses of the garbage collector by kind';
  const pauses = new Histogram({ name, help, labelNames: ['kind'], buckets: pauseBuckets, registers: [registry] });
  new PerformanceObserver((list) => {
    for (const { duration, detail } of list.getEntries() as unknown as GcEntry[]) {
      pauses.observe({ kind: gcKinds[detail.kind] ?? 'other' }, duration / 1000);
    }
  }).observe({ entryTypes: ['gc'] });
}
