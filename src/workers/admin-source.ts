// Answers of the admin listener for all workers together: sums, and each worker's own.
import type { AdminSource, Readiness } from '../gateway/admin/admin.ts';
import type { StreamGroup } from '../gateway/admin/stream-groups.ts';
import {
  acceptsOpenMetrics,
  exemplarsOf,
  openMetricsText,
  openMetricsType,
  withExemplars,
} from '../metrics/open-metrics.ts';
import { sumMetrics } from '../metrics/sum.ts';
import type { WorkerCalls } from './calls.ts';
import type { InForce } from './in-force.ts';
import type { SupervisorMetrics } from './metrics.ts';
import { isAnswering, problemOf, type Seat } from './seat.ts';

/** Parts that the answers are made of. */
export interface SumOptions {
  readonly seats: readonly Seat[];
  readonly metrics: SupervisorMetrics;
  readonly version: string;
  readonly inForce: () => Pick<InForce, 'hash' | 'isServedHost' | 'loaded'>;
  /** A reason against readiness, whatever the workers say. */
  readonly problem: () => string | undefined;
}

/** A worker that takes longer is left out of the answer. */
const patienceMs = 2000;

/** Creates the source. */
export function createSumSource(options: SumOptions): AdminSource {
  const { inForce, metrics, problem, seats, version } = options;

  async function readiness(): Promise<Readiness> {
    const answers = await Promise.all(
      seats.map(async (seat) => (await ask(seat, 'readiness')) ?? { ready: false, reasons: [problemOf(seat)] }),
    );
    const own = problem();
    const reasons = answers.flatMap((answer, index) =>
      answer.reasons.map((reason) => `worker ${seats[index]!.slot.number}: ${reason}`),
    );
    return {
      ready: own === undefined && answers.some(({ ready }) => ready),
      reasons: own === undefined ? reasons : [own, ...reasons],
    };
  }

  async function status(): Promise<object> {
    const answers = (await Promise.all(seats.map((seat) => ask(seat, 'status')))) as (ProcessStatus | undefined)[];
    const known = answers.filter((answer) => answer !== undefined);
    return {
      ...known[0],
      version,
      policy: inForce().hash,
      draining: known.some(({ draining }) => draining),
      openRequests: known.reduce((sum, { openRequests }) => sum + openRequests, 0),
      auditHealthy: known.length > 0 && known.every(({ auditHealthy }) => auditHealthy),
      auditHeads: known.flatMap(({ auditHeads }) => auditHeads),
      auditDeliveries: known.flatMap(({ auditDeliveries }) => auditDeliveries),
      streams: addUp(known.flatMap(({ streams }) => streams)),
      streamsOmitted: known.some(({ streamsOmitted }) => streamsOmitted),
      workers: seats.map((seat, index) => {
        const { auditHealthy, openRequests } = answers[index] ?? {};
        return {
          worker: seat.slot.number,
          state: seat.state,
          problem: answers[index] === undefined ? problemOf(seat) : undefined,
          pid: seat.process?.pid,
          connections: seat.receiver?.size() ?? 0,
          openRequests,
          auditHealthy,
          ends: seat.endCount,
          lastEnd: seat.lastEnd,
        };
      }),
    };
  }

  /** Workers may have keys of their own, and upstreams need all of them. */
  async function keySet(): Promise<string | undefined> {
    const sets = await Promise.all(seats.map((seat) => ask(seat, 'keySet')));
    const keys = new Map<string, object>();
    for (const set of sets) {
      if (set === undefined) continue;
      for (const key of (JSON.parse(set) as { keys: { kid: string }[] }).keys) keys.set(key.kid, key);
    }
    return keys.size === 0 ? undefined : JSON.stringify({ keys: [...keys.values()] });
  }

  /** Of a worker that does not answer, the last values count. */
  async function exposition(accept: string | undefined) {
    await Promise.all(
      seats.map(async (seat) => {
        const { process } = seat;
        const values = await ask(seat, 'metrics');
        if (values !== undefined && seat.process === process) seat.values = values;
      }),
    );
    const all = seats.flatMap(({ gone, values }) => [values, gone]);
    const sum = sumMetrics([...all, await metrics.values()]);
    const exemplars = exemplarsOf(all);
    if (exemplars.size === 0 || !acceptsOpenMetrics(accept)) {
      return { contentType: metrics.contentType, text: await sum.metrics() };
    }
    const text = await openMetricsText(withExemplars(await sum.getMetricsAsJSON(), exemplars));
    return { contentType: openMetricsType, text };
  }

  return {
    readiness,
    status,
    keySet,
    metrics: exposition,
    isServedHost: (host) => inForce().isServedHost(host),
    settings: () => inForce().loaded.config.admin,
    connectionRefused: metrics.connectionRefused,
  };
}

/** The members of a worker's status that are added up. */
interface ProcessStatus {
  readonly draining: boolean;
  readonly openRequests: number;
  readonly auditHealthy: boolean;
  readonly auditHeads: readonly object[];
  readonly auditDeliveries: readonly object[];
  readonly streams: readonly StreamGroup[];
  readonly streamsOmitted: boolean;
}

function addUp(groups: readonly StreamGroup[]): StreamGroup[] {
  const sums = new Map<string, StreamGroup>();
  for (const group of groups) {
    const key = JSON.stringify({ ...group, count: 0 });
    sums.set(key, { ...group, count: group.count + (sums.get(key)?.count ?? 0) });
  }
  return [...sums.values()];
}

/** The answer of the worker; undefined where it has none. */
async function ask<N extends 'readiness' | 'status' | 'keySet' | 'metrics'>(
  seat: Seat,
  name: N,
): Promise<WorkerCalls[N][1] | undefined> {
  if (!isAnswering(seat)) return undefined;
  return seat.process.channel
    .ask(name, undefined as WorkerCalls[N][0], { timeoutMs: patienceMs })
    .catch(() => undefined);
}
