// Figures of a run by which a machine is sized: calls a second of one processor, and memory.
import type { Sample } from './meter.ts';
import { median, type Report, tableOf } from './report.ts';

type Samples = Readonly<Record<string, readonly Sample[]>>;

/** Empty where the run has none of the parts that it takes. */
export function sizingOf(reports: readonly Report[]): string {
  const samplesOf = (part: string) => reports.find((report) => report.part === part)?.samples;
  const costOf = (part: string, name: string) => {
    const samples = (samplesOf(part) as Samples | undefined)?.[name];
    return samples && median(samples.map(({ cpuMicrosPerRequest }) => cpuMicrosPerRequest));
  };
  const calls = [
    ['a call of 1 KiB each way', costOf('calls and paths', 'portcullis, MCP route')],
    ['the same on a path route', costOf('calls and paths', 'portcullis, path route')],
    ['a call with a DPoP-bound token', costOf('tokens', 'portcullis, DPoP-bound token')],
    ['a call of 64 KiB', costOf('bodies', 'portcullis, a request of 64 KiB')],
    ['a call of 1 MiB', costOf('bodies', 'portcullis, a request of 1 MiB')],
    ['a call with an answer of 1 MiB', costOf('bodies', 'portcullis, an answer of 1 MiB')],
  ] as const;
  const rows = calls.flatMap(([name, micros]) =>
    micros === undefined
      ? []
      : [[name, `${micros.toFixed(0)} µs`, ...[1, 2].map((share) => (1e6 / micros / share).toFixed(0))]],
  );
  return rows.length === 0 ? '' : tableOf(['', 'CPU time', 'a second on one processor', 'at half load'], rows);
}
