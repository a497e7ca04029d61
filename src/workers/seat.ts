// Place of one worker: the process that has it now, how it fared, and when the next one may have it.
import type { Slot } from '../config/slot.ts';
import { countsOf, type MetricValues, sumMetrics } from '../metrics/sum.ts';
import type { ConnectionReceiver } from './hand-over.ts';
import type { WorkerEnd, WorkerProcess } from './process.ts';

/** State of a place. */
export type SeatState = 'starting' | 'up' | 'retiring' | 'down';

/** A place, of which the supervisor changes the state. */
export interface Seat {
  readonly slot: Slot;
  state: SeatState;
  process: WorkerProcess | undefined;
  receiver: ConnectionReceiver | undefined;
  /** Instants of its ends and failed starts in the last minute; milliseconds of a clock that never goes back. */
  ends: number[];
  /** All of them. */
  endCount: number;
  /** The last end or failed start, in words. */
  lastEnd: string | undefined;
  /** Ends that no record tells of yet. */
  untold: Readonly<Record<string, unknown>>[];
  /** Counts of the processes that are gone, and the last values of the one that is not. */
  gone: MetricValues;
  values: MetricValues;
}

/** Creates a place that nobody has. */
export function createSeat(slot: Slot): Seat {
  return {
    slot,
    state: 'down',
    process: undefined,
    receiver: undefined,
    ends: [],
    endCount: 0,
    lastEnd: undefined,
    untold: [],
    gone: [],
    values: [],
  };
}

const windowMs = 60_000;
/** Ends in a minute after which the next process starts at once. */
const freeEnds = 5;
const longestDelayMs = 30_000;

/** Takes down an end, and yields how long the next start has to wait: not at all, or from a second on twice as long each time. */
export function delayAfterEnd(seat: Seat, nowMs: number): number {
  seat.ends = [...seat.ends.filter((at) => at > nowMs - windowMs), nowMs];
  const surplus = seat.ends.length - freeEnds;
  return surplus <= 0 ? 0 : Math.min(1000 * 2 ** (surplus - 1), longestDelayMs);
}

/** Keeps the counts of the process that had the place: a sum never goes down. */
export async function keepCounts(seat: Seat): Promise<void> {
  const counts = countsOf(seat.values);
  seat.values = [];
  seat.gone = await sumMetrics([seat.gone, counts]).getMetricsAsJSON();
}

/** The end in words. */
export function describeEnd({ code, killedFor, signal }: WorkerEnd): string {
  if (killedFor !== undefined) return `${killedFor}, and was killed`;
  return signal === null ? `it exited with code ${code}` : `it was ended by ${signal}`;
}

/** True for a place whose process can be asked. */
export function isAnswering(seat: Seat): seat is Seat & { readonly process: WorkerProcess } {
  return seat.process !== undefined && (seat.state === 'up' || seat.state === 'retiring');
}

/** The reason for which a place gives no answer, in words. */
export function problemOf({ lastEnd, state }: Seat): string {
  if (state === 'starting') return 'starting';
  if (state === 'down') return `not running${lastEnd === undefined ? '' : `: ${lastEnd}`}`;
  return 'does not answer';
}
