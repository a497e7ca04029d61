// Metrics of the supervisor: its workers, its own process, and the connections that it refuses.
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { MetricValues } from '../metrics/sum.ts';

/** The metrics of the supervisor. */
export interface SupervisorMetrics {
  connectionRefused(reason: string): void;
  workerUp(slot: number, isUp: boolean): void;
  /** `reason` is one of `exit`, `signal`, `hung` and `start`. */
  workerEnded(slot: number, reason: string): void;
  reloaded(isTaken: boolean): void;
  values(): Promise<MetricValues>;
  readonly contentType: string;
}

/** Declares them in a registry of their own. */
export function createSupervisorMetrics(): SupervisorMetrics {
  const registry = new Registry();
  const registers = [registry];
  const up = new Gauge({
    name: 'portcullis_worker_up',
    help: '1 while the worker takes connections',
    labelNames: ['worker'],
    registers,
    aggregator: 'max',
  });
  const ends = new Counter({
    name: 'portcullis_worker_ends_total',
    help: 'Workers that ended, or did not start, while the gateway ran',
    labelNames: ['worker', 'reason'],
    registers,
  });
  // These two are the same as in the workers, to which they are added.
  const reloadSuccess = new Gauge({
    name: 'portcullis_config_last_reload_success',
    help: '1 when the last reload was taken, 0 when it was refused',
    registers,
    aggregator: 'min',
  });
  reloadSuccess.set(1);
  const requests = new Counter({
    name: 'portcullis_requests_total',
    help: 'Requests by route, outcome and status',
    labelNames: ['route', 'outcome', 'status'],
    registers,
  });
  collectDefaultMetrics({ register: registry });
  return {
    contentType: registry.contentType,
    connectionRefused: (reason) => requests.inc({ route: 'none', outcome: 'refused', status: reason }),
    workerUp: (slot, isUp) => up.set({ worker: String(slot) }, isUp ? 1 : 0),
    workerEnded: (slot, reason) => ends.inc({ worker: String(slot), reason }),
    reloaded: (isTaken) => reloadSuccess.set(isTaken ? 1 : 0),
    values: () => registry.getMetricsAsJSON(),
  };
}
