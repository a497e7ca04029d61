// Summed counter: a counter with three labels that adds up here, and hands sums to prom-client at a scrape.
import { Counter, type Registry } from 'prom-client';

/** Adds one to the series of these label values, in the order of the labels. */
export type Increment = (first: string, second: string, third: string) => void;

/** Declaration of a counter. */
interface Declaration<L extends string> {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly [L, L, L];
  readonly registers: Registry[];
}

/** Declares a counter. Label values come from closed lists: each series is kept. prom-client makes an object and a key of each increment. */
export function createSummedCounter<L extends string>({
  name,
  help,
  labelNames,
  registers,
}: Declaration<L>): Increment {
  const series = new Map<string, Map<string, Map<string, { sum: number }>>>();
  const [one, two, three] = labelNames;
  new Counter({
    name,
    help,
    labelNames,
    registers,
    collect() {
      for (const [first, seconds] of series)
        for (const [second, thirds] of seconds)
          for (const [third, counted] of thirds) {
            this.inc({ [one]: first, [two]: second, [three]: third } as Record<L, string>, counted.sum);
            counted.sum = 0;
          }
    },
  });
  return (first, second, third) => {
    const counted = series.get(first)?.get(second)?.get(third);
    if (counted !== undefined) counted.sum += 1;
    else {
      const seconds = series.get(first) ?? new Map<string, Map<string, { sum: number }>>();
      series.set(first, seconds.set(second, (seconds.get(second) ?? new Map()).set(third, { sum: 1 })));
    }
  };
}
