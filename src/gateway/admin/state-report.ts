// Report of the shared state: a log line, a record and a gauge for each outage, and a count of the questions without an answer.
import type { Log } from '../../log.ts';
import type { Metrics } from '../../metrics/metrics.ts';
import type { StateObserver } from '../../state/switched-state.ts';

/** Dependencies of the report. */
export interface StateReportOptions {
  readonly log: Log;
  readonly observe: Pick<Metrics, 'stateFailed' | 'stateAvailable'>;
  /** Writes a `config` record. */
  readonly record: (detail: Readonly<Record<string, unknown>>) => Promise<void>;
}

/** Creates the report. */
export function createStateReport({ log, observe, record }: StateReportOptions): StateObserver {
  let isOut = false;
  return {
    stateFailed: observe.stateFailed,
    stateChanged(to) {
      observe.stateAvailable(to && to.failure === undefined);
      const failure = to?.failure;
      if (failure !== undefined) {
        isOut = true;
        const { outcome: problem, message, cause } = failure;
        const { onFailure } = to!;
        const meanwhile = onFailure === 'refuse' ? 'what needs it is refused' : 'each process is by itself';
        log.error({ err: cause, problem }, `the shared state is unavailable, ${meanwhile}: ${message}`);
        void record({ event: 'state unavailable', problem, onFailure });
      } else if (isOut) {
        isOut = false;
        log.info('the shared state is available again');
        void record({ event: 'state available' });
      }
    },
  };
}
