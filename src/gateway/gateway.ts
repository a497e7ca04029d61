// Start, drain and stop of the gateway, with the parts that outlive a configuration and the two listeners.
import { randomUUID } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { createAuditLog } from '../audit/audit-log.ts';
import { createPeerCertificateReader } from '../authn/certificate/peer.ts';
import { createProofMemory } from '../authn/token/dpop.ts';
import type { Schedule } from '../authn/token/jwks.ts';
import type { LoadedConfig } from '../config/load.ts';
import { drain } from '../http/drain.ts';
import { connectionCeiling, createPeerAddressReader } from '../http/listener.ts';
import type { Log } from '../log.ts';
import { createMetrics, type Metrics } from '../metrics/metrics.ts';
import { createAdmin } from './admin.ts';
import { createApp } from './app.ts';
import { listenOn } from './listen.ts';
import {
  type Configuration,
  type ConfigurationRuntime,
  closeSnapshot,
  createReloader,
  type Load,
  prepareConfiguration,
  unlessAborted,
} from './reload.ts';
import type { Pipeline } from './request/pipeline.ts';
import { streamTickMs, sweepStreams } from './request/streams.ts';
import { createRevocationWatcher } from './revocation-watcher.ts';
import type { Runtime } from './runtime.ts';
import { createUpstreamProbes } from './upstream-probes.ts';

/** Options of `startGateway`. */
export interface GatewayOptions {
  readonly loaded: LoadedConfig;
  readonly log: Log;
  readonly version: string;
  /** Milliseconds since 1970; the system clock by default. */
  readonly now?: () => number;
  /** Timer of the fetches of key sets; the system's clock by default. */
  readonly schedule?: Schedule;
  /** Interval of the checks of open streams; the default keeps the promise of five seconds. */
  readonly streamTickMs?: number;
  /** Interval of the checks of the revocation file; the default keeps the promise of one second. */
  readonly revocationPollMs?: number;
  /** The steps of a request; all of them by default. */
  readonly pipeline?: Pipeline;
  /** Aborts the start, which then throws. */
  readonly signal?: AbortSignal;
}

/** A running gateway. */
export interface Gateway {
  /** The public application; tests use its `inject`. */
  readonly app: FastifyInstance;
  /** The admin application. */
  readonly admin: FastifyInstance;
  /** The bound address and port; for a unix socket `unix:` with its path, and port 0. */
  readonly publicAddress: AddressInfo;
  readonly adminAddress: AddressInfo;
  /** Replaces the configuration by the result of `load`. A failure leaves the old one in force and is recorded, not thrown. */
  reload(load: Load): Promise<void>;
  /** Turns not ready, serves on with `Connection: close`, then stops; streams that are open after `drainTimeout` end. */
  drain(): Promise<void>;
  /** Stops at once, also during a drain: cuts connections and writes their records. */
  close(): Promise<void>;
}

/** Time in which a draining gateway still accepts connections. */
const lameDuckMs = 5000;

/** Closes one open part of the gateway. */
type Closer = () => void | Promise<void>;

/**
 * Brings the configuration into force and listens. Throws an Error of one line that names the unusable key; then every opened part is closed.
 */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const opened: Closer[] = [];
  try {
    return await start(options, opened);
  } catch (cause) {
    await closeAll(opened).catch((error: unknown) => options.log.error({ err: error }, 'a part was not closed'));
    throw cause;
  }
}

async function start(options: GatewayOptions, opened: Closer[]): Promise<Gateway> {
  const { loaded, log, signal } = options;
  const state: GatewayState = { inForce: undefined, started: false };
  const parts = createParts(options, () => (state.inForce?.loaded ?? loaded).hash);
  opened.push(parts.audit.close, parts.revocations.close, parts.probes.close);
  const first = await prepareConfiguration(loaded, undefined, parts, signal);
  opened.push(() => (state.inForce === undefined ? first.dispose() : closeSnapshot(state.inForce.snapshot)));
  const runtime = createRuntime(options, first, parts);
  const install = (next: Configuration): void => {
    state.inForce = next;
    runtime.snapshot = next.snapshot;
    parts.metrics.configurationLoaded(next.loaded.hash);
  };
  const current = () => state.inForce ?? first;
  const admin = createAdmin({ ...parts, runtime, version: options.version, current, started: () => state.started });
  opened.push(() => admin.close());
  const app = await createApp(runtime, loaded, options.pipeline);
  opened.push(() => closePublic(app, runtime));
  const adminAddress = await unlessAborted(listenOn(admin, loaded.config.admin.listen, 'admin.listen'), signal);
  const publicAddress = await unlessAborted(listenOn(app, loaded.config.server.listen, 'server.listen'), signal);
  app.server.on('error', (error) => log.error({ err: error }, 'the public listener reported an error'));
  first.commit(app.server, install);
  const sweeping = setInterval(() => sweepStreams(runtime), options.streamTickMs ?? streamTickMs).unref();
  opened.push(() => clearInterval(sweeping));
  await unlessAborted(recordStart(options.version, parts), signal);
  state.started = true;
  warnOfFewDescriptors(loaded, log);
  return { app, admin, publicAddress, adminAddress, ...controlsOf({ app, current, install, opened, parts, runtime }) };
}

/** The controls of a running gateway. */
function controlsOf(running: {
  readonly app: FastifyInstance;
  readonly current: () => Configuration;
  readonly install: (next: Configuration) => void;
  readonly opened: Closer[];
  readonly parts: Parts;
  readonly runtime: Runtime;
}): Pick<Gateway, 'reload' | 'drain' | 'close'> {
  const { app, current, install, opened, parts, runtime } = running;
  const stopping = new AbortController();
  const { signal } = stopping;
  const reloader = createReloader({ ...parts, listener: app.server, current, install, signal, observe: parts.metrics });
  let stopped: Promise<void> | undefined;
  const close = (): Promise<void> => {
    stopping.abort();
    stopped ??= reloader.settled().then(() => closeAll(opened));
    return stopped;
  };
  return {
    reload: reloader.reload,
    close,
    async drain() {
      runtime.draining = true;
      await drain(app.server, {
        drainTimeoutMs: current().loaded.config.server.drainTimeout,
        lameDuckMs,
        openRequests: () => runtime.open.size + runtime.drainingAnswers.size,
        signal,
      });
      await close();
    },
  };
}

interface GatewayState {
  /** Undefined until the first one is committed. */
  inForce: Configuration | undefined;
  /** Both listeners listen, and the first record is written. */
  started: boolean;
}

/** Parts that outlive each configuration. */
interface Parts extends ConfigurationRuntime {
  readonly metrics: Metrics;
  readonly now: () => number;
  /** Writes a `config` record. A failing sink gets it when it works again. */
  readonly write: (detail: ChangeDetail) => Promise<void>;
  /** The same; a failure is logged. */
  readonly record: (detail: ChangeDetail) => Promise<void>;
}

type ChangeDetail = Readonly<Record<string, unknown>>;

function createParts(options: GatewayOptions, policy: () => string): Parts {
  const { log, now = Date.now, revocationPollMs: intervalMs, schedule } = options;
  const metrics = createMetrics(options.version);
  const audit = createAuditLog({
    instance: randomUUID(),
    policy,
    log,
    now,
    observe: { written: metrics.auditWritten, failed: metrics.auditFailed },
  });
  const write = (detail: ChangeDetail) =>
    audit.write({ id: randomUUID(), time: now(), stage: 'config', detail, policy: policy() });
  const record = (detail: ChangeDetail) =>
    write(detail).catch((cause: unknown) =>
      log.error({ err: cause, detail }, 'the record of a change is owed until the audit log works again'),
    );
  const revocations = createRevocationWatcher(undefined, { log, observe: metrics, intervalMs, record });
  const probes = createUpstreamProbes({ log, record });
  const snapshots = { proofMemory: createProofMemory(), log, now, observe: metrics, schedule };
  return { log, now, metrics, audit, write, record, revocations, probes, snapshots };
}

function createRuntime(options: GatewayOptions, { snapshot }: Configuration, parts: Parts): Runtime {
  const { audit, log, metrics, now, revocations } = parts;
  return {
    snapshot,
    draining: false,
    now,
    log,
    metrics,
    audit,
    peerAddress: createPeerAddressReader(options.loaded.config.server.listen),
    peerCertificate: createPeerCertificateReader(),
    revocations: revocations.current,
    open: new Set(),
    streams: new Set(),
    drainingAnswers: new Set(),
  };
}

/** Writes the first record. Throws an Error that names the failing sink. */
async function recordStart(version: string, { audit, revocations, write }: Parts): Promise<void> {
  try {
    await write({ event: 'started', version, revocation: revocations.state() });
  } catch (cause) {
    throw new Error(audit.problem() ?? 'audit: the first record cannot be written', { cause });
  }
}

/** Closes the parts in reverse order. Throws the first failure once all are closed. */
async function closeAll(opened: Closer[]): Promise<void> {
  const failures: unknown[] = [];
  for (const close of opened.splice(0).reverse()) {
    try {
      await close();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}

/** Cuts every connection, and waits until their requests have ended and are recorded. */
async function closePublic(app: FastifyInstance, runtime: Runtime): Promise<void> {
  app.server.closeAllConnections();
  await app.close();
  while (runtime.open.size > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  for (const giveUp of runtime.drainingAnswers) giveUp();
}

function warnOfFewDescriptors({ config }: LoadedConfig, log: Log): void {
  const { connections } = config.server.limits;
  const possible = connectionCeiling();
  if (possible < connections) {
    log.info(
      `server.limits.connections is ${connections}, but the process may open too few files: ${possible} are accepted`,
    );
  }
}
