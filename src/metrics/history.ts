// History of the last hour: totals of requests and their latency, read from the metrics every ten seconds.
import type { MetricSample } from './metrics.ts';

/** Requests of a stretch of time. */
export interface HistoryPoint {
  /** The end of the stretch, in seconds since 1970. */
  readonly time: number;
  readonly seconds: number;
  readonly requests: number;
  readonly refused: number;
  readonly failed: number;
  /** Median and 95th percentile in seconds, interpolated as Prometheus does; null where no request ended. */
  readonly p50: number | null;
  readonly p95: number | null;
}

/** A bounded history, which reads the totals every ten seconds. */
export interface History {
  /** At most `maxHistoryPoints`, oldest first, up to now. */
  points(): Promise<HistoryPoint[]>;
  close(): void;
}

/** The totals since the start. */
interface Totals {
  readonly timeMs: number;
  readonly requests: number;
  readonly refused: number;
  readonly failed: number;
  /** Requests by the upper bounds of their seconds, cumulative. */
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
}

/** Options of `createHistory`. */
export interface HistoryOptions {
  readonly samples: (name: string) => Promise<readonly MetricSample[]>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Calls back every so many milliseconds until the function that it gives is called; a timer by default. */
  readonly every?: (ms: number, call: () => void) => () => void;
}

/** Between two samples. */
const stepMs = 10_000;
const hourMs = 3_600_000;
/** Of a chart: more are not seen, and would have to be sent. */
export const maxHistoryPoints = 120;

/** Creates the history, which begins now. */
export function createHistory({ every = repeat, now, samples }: HistoryOptions): History {
  const kept: Totals[] = [];
  let bounds: readonly number[] = [];

  async function read(): Promise<Totals> {
    const requests = await samples('requests_total');
    const ended = (outcome?: string) =>
      requests.reduce(
        (sum, { labels, value }) => sum + (outcome === undefined || labels.outcome === outcome ? value : 0),
        0,
      );
    const buckets = new Map<number, number>();
    for (const { labels, metricName = '', value } of await samples('request_duration_seconds')) {
      if (!metricName.endsWith('_bucket')) continue;
      const bound = labels.le === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels.le);
      buckets.set(bound, (buckets.get(bound) ?? 0) + value);
    }
    // One list for all samples.
    if (bounds.length !== buckets.size) bounds = [...buckets.keys()];
    const totals = { requests: ended(), refused: ended('refused'), failed: ended('failed') };
    return { timeMs: now(), ...totals, bounds, counts: [...buckets.values()] };
  }

  async function sample(): Promise<void> {
    kept.push(await read());
    if (kept.length > hourMs / stepMs + 1) kept.shift();
  }
  void sample();
  return {
    close: every(stepMs, () => void sample()),
    async points() {
      const all = [...kept, await read()];
      const step = Math.max(1, Math.ceil((all.length - 1) / maxHistoryPoints));
      // The newest stretch is whole; what does not divide is short at the old end.
      const chosen = all.filter((_, index) => index === 0 || (all.length - 1 - index) % step === 0);
      return chosen.slice(1).flatMap((totals, index) => pointBetween(chosen[index]!, totals));
    },
  };
}

function pointBetween(from: Totals, to: Totals): HistoryPoint[] {
  const seconds = (to.timeMs - from.timeMs) / 1000;
  if (seconds <= 0) return [];
  const buckets = to.bounds.map((bound, index) => [bound, to.counts[index]! - (from.counts[index] ?? 0)] as const);
  return [
    {
      time: Math.round(to.timeMs / 1000),
      seconds,
      requests: to.requests - from.requests,
      refused: to.refused - from.refused,
      failed: to.failed - from.failed,
      p50: quantile(0.5, buckets),
      p95: quantile(0.95, buckets),
    },
  ];
}

/** The quantile of a histogram; above its last finite bound that bound. `buckets` are cumulative, in the order of their bounds. */
function quantile(share: number, buckets: readonly (readonly [bound: number, count: number])[]): number | null {
  const total = buckets.at(-1)?.[1] ?? 0;
  if (total === 0) return null;
  const rank = share * total;
  const index = buckets.findIndex(([, count]) => count >= rank);
  const [lower, before] = buckets[index - 1] ?? [0, 0];
  const [upper, count] = buckets[index]!;
  if (upper === Number.POSITIVE_INFINITY) return lower;
  return lower + ((upper - lower) * (rank - before)) / (count - before);
}

function repeat(ms: number, call: () => void): () => void {
  const timer = setInterval(call, ms).unref();
  return () => clearInterval(timer);
}
