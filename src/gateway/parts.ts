// Parts of the gateway that outlive its configurations: metrics, audit log, revocation watcher, probes, and the state of requests.
import { randomUUID } from 'node:crypto';
import { createAuditLog } from '../audit/audit-log.ts';
import { createRecentRecords, type RecentRecords } from '../audit/recent/recent-records.ts';
import type { LineOutput } from '../audit/sinks/sink-type.ts';
import { createPeerCertificateReader } from '../authn/certificate/peer.ts';
import { createProofMemory } from '../authn/token/binding/dpop.ts';
import type { Schedule } from '../authn/token/jwks.ts';
import type { LoadedConfig } from '../config/load.ts';
import { createBodyBudget } from '../http/body/budget.ts';
import { createBodyScavenges } from '../http/body/scavenges.ts';
import { isLocal, parseListenAddress } from '../http/connection/listen-address.ts';
import { createPeerAddressReader } from '../http/connection/listener.ts';
import type { Log } from '../log.ts';
import { createHistory, type History } from '../metrics/history.ts';
import { createMetrics, type Metrics } from '../metrics/metrics.ts';
import { createLocalState } from '../state/local-state.ts';
import type { CircuitTimes } from '../state/redis/circuit.ts';
import type { SharedState } from '../state/shared-state.ts';
import { createSwitchedState } from '../state/switched-state.ts';
import { watchState } from '../state/watched-state.ts';
import { createStateReport } from './admin/state-report.ts';
import { createChangeReport } from './catalog/change-report.ts';
import { createDefinitionChecks } from './catalog/definition-checks.ts';
import type { ConfigurationRuntime } from './reload.ts';
import { createStrangerLimit } from './request/stranger-limit.ts';
import { createRevocationWatcher } from './revocation-watcher.ts';
import type { Runtime } from './runtime.ts';
import type { Siblings } from './siblings.ts';
import type { Snapshot } from './snapshot.ts';
import { createUnorderedSet } from './unordered-set.ts';
import { createUpstreamProbes } from './upstreams/upstream-probes.ts';

/** Options of `createParts`. */
export interface PartsOptions {
  /** The first configuration: histograms have exemplars where it traces. */
  readonly loaded: LoadedConfig;
  readonly log: Log;
  readonly version: string;
  /** The name of this process in its records; a random one by default. */
  readonly instance?: string;
  /** Takes the lines of the stdout sink, in place of the descriptor. */
  readonly stdout?: LineOutput;
  /** Milliseconds since 1970; the system clock by default. */
  readonly now?: () => number;
  /** The audit paths are taken from nobody, also those of sinks that are not required. Default false. */
  readonly mustHold?: boolean;
  /** Timer of the fetches of key sets; the system's clock by default. */
  readonly schedule?: Schedule;
  /** State that other processes share; the memory of this process by default. */
  readonly state?: SharedState;
  /** Bounds of time for the server of `state`; the default keeps the promise of half a second. */
  readonly stateTimes?: CircuitTimes | undefined;
  /** Interval of the checks of the revocation file; the default keeps the promise of one second. */
  readonly revocationPollMs?: number;
  /** For a worker: the other ones. */
  readonly siblings?: Siblings;
}

/** Parts that outlive each configuration. */
export interface Parts extends ConfigurationRuntime {
  readonly metrics: Metrics;
  /** Requests of the last hour. */
  readonly history: History;
  readonly now: () => number;
  readonly siblings: Siblings | undefined;
  /** Records of the last requests, for the console. */
  readonly recent: RecentRecords;
  /** Writes a `config` record. A failing sink gets it when it works again. */
  readonly write: (detail: ChangeDetail) => Promise<void>;
  /** The same; a failure is logged. */
  readonly record: (detail: ChangeDetail) => Promise<void>;
}

type ChangeDetail = Readonly<Record<string, unknown>>;

/** Creates the parts. `policy` gives the hash of the configuration in force, for records. */
export function createParts(options: PartsOptions, policy: () => string): Parts {
  const { log, now = Date.now, revocationPollMs: intervalMs, schedule, siblings, version } = options;
  const metrics = createMetrics(version, { exemplars: options.loaded.config.tracing !== undefined });
  const recent = createRecentRecords();
  const { authenticate, listen } = options.loaded.config.admin;
  recent.keep(authenticate !== undefined || isLocal(parseListenAddress(listen)));
  const history = createHistory({ samples: metrics.samples, now });
  const audit = createAuditLog({
    recent,
    instance: options.instance ?? randomUUID(),
    stdout: options.stdout,
    policy,
    log,
    now,
    version: options.version,
    observe: {
      written: metrics.auditWritten,
      failed: metrics.auditFailed,
      shed: metrics.auditShed,
      retried: metrics.auditRetried,
      lost: metrics.auditLost,
      truncated: metrics.auditTruncated,
      stateFailed: metrics.auditStateFailed,
    },
  });
  const write = (detail: ChangeDetail) =>
    audit.write({ id: randomUUID(), time: now(), stage: 'config', detail, policy: policy() });
  const record = (detail: ChangeDetail) =>
    write(detail).catch((cause: unknown) =>
      log.error({ err: cause, detail }, 'the record of a change is owed until the audit log works again'),
    );
  const local = createLocalState({ now });
  const observeState = createStateReport({ log, observe: metrics, record });
  const state = createSwitchedState({
    base: options.state === undefined ? local : watchState(options.state, observeState),
    local,
    now,
    observe: observeState,
    times: options.stateTimes,
  });
  const revocations = createRevocationWatcher(undefined, { log, observe: metrics, intervalMs, record, now });
  const probes = createUpstreamProbes({ log, record });
  const definitions = createDefinitionChecks({ log, now, version });
  const definitionChanged = createChangeReport({ log, observe: metrics, record });
  const snapshots = {
    proofMemory: createProofMemory(state),
    log,
    now,
    observe: metrics,
    schedule,
    definitionChanged,
    limitShares: siblings?.limitShares,
    sharedKeys: siblings?.keys,
  };
  const spans = { exported: metrics.spansExported, dropped: metrics.spansDropped };
  return {
    spans,
    version,
    siblings,
    log,
    now,
    metrics,
    history,
    audit,
    recent,
    state,
    write,
    record,
    revocations,
    probes,
    definitions,
    snapshots,
  };
}

/** Creates the state of all requests to the address `listen`, at first under `snapshot`. */
export function createRuntime(listen: string, snapshot: Snapshot, parts: Parts): Runtime {
  const { audit, log, metrics, now, revocations, siblings, state } = parts;
  const limitOptions = { audit, log, now, observe: metrics, snapshot: () => runtime.snapshot };
  const runtime: Runtime = {
    snapshot,
    draining: false,
    connections: 0,
    now,
    log,
    metrics,
    audit,
    strangers: createStrangerLimit({
      ...limitOptions,
      shared: () => (state.status() === undefined ? undefined : state),
    }),
    // `limits_refused_total` counts them all.
    overLimits: createStrangerLimit({ ...limitOptions, observe: { refusalSummed: () => {} } }),
    state,
    peerAddress: createPeerAddressReader(listen),
    peerCertificate: createPeerCertificateReader(),
    revocations: revocations.current,
    bodies: createBodyBudget(),
    countPassed: createBodyScavenges(),
    open: createUnorderedSet(),
    streams: createUnorderedSet(),
    drainingAnswers: createUnorderedSet(),
    siblings,
  };
  return runtime;
}

/** Writes the first record. Throws an Error that names the failing sink. */
export async function recordStart(version: string, { audit, revocations, write }: Parts): Promise<void> {
  try {
    await write({ event: 'started', version, revocation: revocations.state() });
  } catch (cause) {
    throw new Error(audit.problem() ?? 'audit: the first record cannot be written', { cause });
  }
}
