// Readiness, status, keys and metrics of this process, as the admin listener answers them.
import type { AddressInfo } from 'node:net';
import type { MetricsSource } from '../../metrics/metrics.ts';
import type { MetricValues } from '../../metrics/sum.ts';
import type { Parts } from '../parts.ts';
import type { Configuration } from '../reload.ts';
import type { Runtime } from '../runtime.ts';
import type { AdminSource } from './admin.ts';
import { groupStreams } from './stream-groups.ts';

/** Parts of a running gateway, which its admin answers and its console are made of. */
export interface RunningParts extends Parts {
  readonly runtime: Runtime;
  /** The configuration in force; during the start the one that will be. */
  readonly current: () => Configuration;
  /** False until the start is over. */
  readonly started: () => boolean;
  readonly reloads: Readonly<ReloadHistory>;
  /** Of the public listener; undefined until it listens. */
  readonly publicAddress: () => AddressInfo | undefined;
}

/** Instants in milliseconds since 1970. */
export interface ReloadHistory {
  /** The configuration in force is in force since then. */
  inForceSince: number;
  /** The last reload, where it was refused. */
  refused: { readonly time: number; readonly problem: string } | undefined;
}

/** The source of one process, which can also give its metrics as values that are summed with others. */
export interface ProcessSource extends AdminSource {
  metricValues(): Promise<MetricValues>;
}

/** Creates the source. */
export function createAdminSource(options: RunningParts): ProcessSource {
  const { audit, current, definitions, metrics, probes, revocations, runtime, state, version } = options;
  const measured = (): MetricsSource => ({
    ...current().expiries,
    keySets: [...runtime.snapshot.authenticators.keySets.values()],
    probes: probes.states(),
    auditHead: audit.heads()[0],
    deliveries: audit.deliveries(),
  });
  return {
    async readiness() {
      const reasons = reasonsNotReady(options);
      return { ready: reasons.length === 0, reasons };
    },
    status: async () => ({
      version,
      policy: current().loaded.hash,
      shadow: shadowOf(current()),
      draining: runtime.draining,
      openRequests: runtime.open.size(),
      auditHealthy: audit.healthy(),
      auditHeads: audit.heads(),
      auditDeliveries: audit.deliveries(),
      revocation: revocations.state(),
      temporaryRevocations: revocations.temporary().map(({ by: _, ...each }) => each),
      state: state.status(),
      ...groupStreams(runtime.streams),
      definitions: definitions.states(),
    }),
    keySet: async () => runtime.snapshot.publishedKeys,
    metrics: (accept) => metrics.scrape(measured(), accept),
    metricValues: () => metrics.values(measured()),
    isServedHost: (host) => runtime.snapshot.hosts.isServed(host),
    settings: () => current().loaded.config.admin,
    connectionRefused: metrics.connectionRefused,
  };
}

/** The shadow by its hash, and the problem of its file where that is an older one. */
function shadowOf({ snapshot: { shadow } }: Configuration): object | undefined {
  return shadow && { policy: shadow.loaded.hash, problem: shadow.problem };
}

/** The reasons as sentences; none when the gateway is ready. */
export function reasonsNotReady({
  audit,
  probes,
  runtime,
  started,
}: Pick<RunningParts, 'audit' | 'probes' | 'runtime' | 'started'>): string[] {
  const reasons: string[] = [];
  if (!started()) reasons.push('starting');
  if (runtime.draining) reasons.push('draining: the process was told to stop');
  if (!audit.healthy()) reasons.push('audit: a required sink does not take records');
  const truncation = audit.truncation();
  if (truncation !== undefined) reasons.push(`audit: ${truncation}`);
  for (const keySet of runtime.snapshot.authenticators.keySets.values())
    if (!keySet.ready()) reasons.push(`issuer ${keySet.issuer}: no keys yet, or they are too old`);
  return [...reasons, ...probes.notReady()];
}
