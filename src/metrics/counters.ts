// Counters and histograms that prom-client is only told of when somebody scrapes: counting is one look-up for each label, no hash over all of them.
import { Counter, type CounterConfiguration, type Metric, type Registry } from 'prom-client';

type Labels = Readonly<Record<string, string>>;

/** One cell for each combination of label values that has occurred. */
interface Cells<C> {
  /** The cell of these values, in the order of the label names; made when it is asked for first. */
  of(values: readonly string[]): C;
  all(): Iterable<readonly [Labels, C]>;
}

type Branch<C> = Map<string, Branch<C> | C>;

function createCells<C extends object>(labelNames: readonly string[], create: () => C): Cells<C> {
  const root: Branch<C> = new Map();
  const all: [Labels, C][] = [];

  function add(branch: Branch<C>, values: readonly string[], depth: number): Branch<C> | C {
    const isLast = depth === values.length - 1;
    const made = isLast ? create() : (new Map() as Branch<C>);
    branch.set(values[depth]!, made);
    if (isLast) all.push([Object.fromEntries(labelNames.map((name, index) => [name, values[index]!])), made as C]);
    return made;
  }

  return {
    of(values) {
      let found: Branch<C> | C = root;
      for (let depth = 0; depth < values.length; depth++) {
        const branch = found as Branch<C>;
        found = branch.get(values[depth]!) ?? add(branch, values, depth);
      }
      return found as C;
    },
    all: () => all,
  };
}

/** A counter. The returned function takes the amount and the labels' values in the order of their names. */
export function createTally(
  options: CounterConfiguration<string> & { labelNames: string[] },
): (amount: number, ...values: string[]) => void {
  const cells = createCells(options.labelNames, () => ({ count: 0 }));
  new Counter({
    ...options,
    collect() {
      this.reset();
      for (const [labels, { count }] of cells.all()) this.inc(labels, count);
    },
  });
  return (amount, ...values) => {
    cells.of(values).count += amount;
  };
}

export interface DistributionOptions {
  readonly name: string;
  readonly help: string;
  readonly label: string;
  /** Upper bounds, ascending; the one without a bound is added. */
  readonly buckets: readonly number[];
  readonly registry: Registry;
}

/** A histogram with one label. The returned function takes the value that was observed and the label's. */
export function createDistribution(options: DistributionOptions): (value: number, label: string) => void {
  const { name, help, buckets } = options;
  const cells = createCells([options.label], () => ({ counts: new Array<number>(buckets.length + 1).fill(0), sum: 0 }));

  function valuesOf(labels: Labels, { counts, sum }: { counts: readonly number[]; sum: number }) {
    let count = 0;
    const within = counts.map((each, index) => {
      count += each;
      return { metricName: `${name}_bucket`, labels: { ...labels, le: bucketLabel(buckets[index]) }, value: count };
    });
    const total = { metricName: `${name}_count`, labels, value: count };
    return [...within, { metricName: `${name}_sum`, labels, value: sum }, total];
  }

  const metric = {
    name,
    help,
    type: 'histogram',
    aggregator: 'sum',
    get: async () => ({
      name,
      help,
      type: 'histogram',
      aggregator: 'sum',
      values: [...cells.all()].flatMap(([labels, cell]) => valuesOf(labels, cell)),
    }),
  };
  options.registry.registerMetric(metric as unknown as Metric);

  return (value, label) => {
    const cell = cells.of([label]);
    let index = 0;
    while (index < buckets.length && value > buckets[index]!) index++;
    cell.counts[index]! += 1;
    cell.sum += value;
  };
}

function bucketLabel(bound: number | undefined): string {
  return bound === undefined ? '+Inf' : String(bound);
}
