// Settings of the benchmarks: the command line, read.
import { parseArgs } from 'node:util';
import { createPinning, type Pinning } from './pinning.ts';

const defaults = {
  /** With fresh processes each. */
  runs: 3,
  rounds: 15,
  requests: 2000,
  warmup: 20_000,
  connections: 16,
  /** Of each window of `tail`, at least. */
  seconds: 15,
  streams: 9000,
  'slow-readers': 20,
  /** Of each target of `start`. */
  starts: 5,
};

export type Settings = Readonly<typeof defaults> & { readonly pinning: Pinning };

/** The parts that are asked for, and how to run them. Throws on an option that there is not. */
export function readCommandLine() {
  const numbers = Object.keys(defaults) as (keyof typeof defaults)[];
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      check: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
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
    json: values.json,
    settings: { ...Object.fromEntries(read), pinning: createPinning(!values['no-pinning']) } as Settings,
  };
}

function count(name: string, text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new Error(`--${name} takes a number`);
  return Number(text);
}
