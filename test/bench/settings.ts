// Settings of the benchmarks: the command line, read.
import { parseArgs } from 'node:util';
import { createPinning, type Pinning } from './pinning.ts';

const defaults = {
  /** With fresh processes each. */
  runs: 2,
  rounds: 10,
  requests: 2000,
  /** Of a process; half of it for each kind of request where it has several. */
  warmup: 20_000,
  connections: 16,
  /** Of each window of `tail`, at least. */
  seconds: 8,
  streams: 9000,
  'slow-readers': 20,
  /** Of each target of `start`. */
  starts: 3,
  /** Seconds of quiet behind a start: V8 gives back what loading has left about 17 s behind it. */
  idle: 20,
  /** Of `soak`. */
  minutes: 30,
};

export interface Settings extends Readonly<typeof defaults> {
  readonly pinning: Pinning;
  /** Of the peers that are not there, download what can be had. */
  readonly install: boolean;
  /** Says on standard error where the run is, with the seconds since it began. */
  progress(text: string): void;
}

/** The parts that are asked for, and how to run them. Throws on an option that there is not. */
export function readCommandLine() {
  const numbers = Object.keys(defaults) as (keyof typeof defaults)[];
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      check: { type: 'boolean', default: false },
      json: { type: 'string' },
      charts: { type: 'string' },
      install: { type: 'boolean', default: false },
      'no-pinning': { type: 'boolean', default: false },
      ...Object.fromEntries(numbers.map((name) => [name, { type: 'string' as const }])),
    },
  });
  const given = values as unknown as Readonly<Record<string, string | undefined>>;
  const read = numbers.map((name) => [name, given[name] === undefined ? defaults[name] : count(name, given[name])]);
  return {
    chosen: positionals,
    /** Exit code 1 when a bound is not met. */
    check: values.check,
    /** The reports with every sample go into this file too. */
    json: values.json,
    /** Folder for the charts of the run. */
    charts: values.charts,
    settings: {
      ...(Object.fromEntries(read) as typeof defaults),
      pinning: createPinning(!values['no-pinning']),
      install: values.install,
      progress: (text) => console.error(`${(performance.now() / 1000).toFixed(0).padStart(5)} s  ${text}`),
    } satisfies Settings,
  };
}

/** Whole, but for minutes. */
function count(name: string, text: string): number {
  const form = name === 'minutes' ? /^\d+(\.\d+)?$/ : /^\d+$/;
  if (!form.test(text) || Number(text) === 0) throw new Error(`--${name} takes a number`);
  return Number(text);
}
