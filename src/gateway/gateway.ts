// The running gateway: both listeners around `takeRequest`, replacement of the snapshot while it runs, drain and stop.
import { randomUUID } from 'node:crypto';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { createAuditLog, type ReconfigurableAuditLog } from '../audit/audit-log.ts';
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
  closeSnapshot,
  createReloader,
  type Load,
  prepareConfiguration,
  unlessAborted,
} from './reload.ts';
import type { Pipeline } from './request/pipeline.ts';
import { streamTickMs, sweepStreams } from './request/streams.ts';
import { createRevocationFeed, type RevocationFeed } from './revocation-watcher.ts';
import type { Runtime } from './runtime.ts';
import { createUpstreamProbes, type UpstreamProbes } from './upstream-probes.ts';

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
  /** Ends the start, which then throws. */
  readonly signal?: AbortSignal;
}

/** A running gateway. */
export interface Gateway {
  /** The applications behind the two listeners: for requests without a socket (`inject`). */
  readonly app: FastifyInstance;
  readonly admin: FastifyInstance;
  /** The bound address and port; for a unix socket `unix:` with its path, and port 0. */
  readonly publicAddress: AddressInfo;
  readonly adminAddress: AddressInfo;
  /** Replaces the configuration by what `load` yields. A failure leaves the old one in force and is recorded; it is never thrown. */
  reload(load: Load): Promise<void>;
  /** Not ready at once, serves on with `Connection: close`, then stops; open streams end when `drainTimeout` has passed. */
  drain(): Promise<void>;
  /** Stops at once, also while it drains: connections are cut, their records are written. */
  close(): Promise<void>;
}

/** Time in which a draining gateway still accepts connections that were on their way. */
const lameDuckMs = 5000;

/** Closes one part of the gateway. */
type Closer = () => void | Promise<void>;

/**
 * Brings the configuration into force and listens. Throws an Error that says in one line what cannot be used, with its key; then all that was opened
 * is closed again.
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
  const now = options.now ?? Date.now;
  const metrics = createMetrics(options.version);
  let current: Configuration | undefined;
  const policy = () => (current?.loaded ?? loaded).hash;
  const audit = createAuditLog({
    instance: randomUUID(),
    policy,
    log,
    now,
    observe: { written: metrics.auditWritten, failed: metrics.auditFailed },
  });
  opened.push(audit.close);
  const write = (detail: Readonly<Record<string, unknown>>) =>
    audit.write({ id: randomUUID(), time: now(), stage: 'config', detail, policy: policy() });
  const record = (detail: Readonly<Record<string, unknown>>) =>
    write(detail).catch((cause: unknown) =>
      log.error({ err: cause, detail }, 'the record of a change is owed until the audit log works again'),
    );
  const revocations = createRevocationFeed(undefined, {
    log,
    observe: metrics,
    intervalMs: options.revocationPollMs,
    record,
  });
  const probes = createUpstreamProbes({ log, record });
  opened.push(revocations.close, probes.close);
  const configurations = {
    log,
    audit,
    revocations,
    probes,
    snapshots: { proofMemory: createProofMemory(), log, now, observe: metrics, schedule: options.schedule },
    install(next: Configuration) {
      current = next;
      runtime.snapshot = next.snapshot;
      metrics.configurationLoaded(next.loaded.hash);
    },
  };
  const first = await prepareConfiguration(loaded, undefined, configurations, signal);
  opened.push(() => (current === undefined ? first.dispose() : closeSnapshot(current.snapshot)));
  const runtime: Runtime = {
    snapshot: first.snapshot,
    draining: false,
    now,
    log,
    metrics,
    audit,
    peerAddress: createPeerAddressReader(loaded.config.server.listen),
    peerCertificate: createPeerCertificateReader(),
    revocations: revocations.current,
    open: new Set(),
    streams: new Set(),
    drainingAnswers: new Set(),
  };
  let listening = false;
  const parts = { audit, metrics, probes, revocations, runtime, version: options.version };
  const admin = openAdmin(parts, { configuration: () => current ?? first, listening: () => listening });
  opened.push(() => admin.close());
  const app = await createApp(runtime, loaded, options.pipeline);
  const { server } = app;
  opened.push(() => closePublic(app, server, runtime));
  const adminAddress = await unlessAborted(listenOn(admin, loaded.config.admin.listen, 'admin.listen'), signal);
  const publicAddress = await unlessAborted(listenOn(app, loaded.config.server.listen, 'server.listen'), signal);
  server.on('error', (error) => log.error({ err: error }, 'the public listener reported an error'));
  tellOfFewDescriptors(loaded, log);
  first.commit(server);
  const sweeping = setInterval(() => sweepStreams(runtime), options.streamTickMs ?? streamTickMs).unref();
  opened.push(() => clearInterval(sweeping));
  const started = write({ event: 'started', version: options.version, revocation: revocations.state() });
  await unlessAborted(started, signal).catch((cause: unknown) => {
    throw new Error(audit.problem() ?? `audit: ${messageOf(cause)}`, { cause });
  });
  listening = true;

  const stopping = new AbortController();
  const { reload, settled } = createReloader({
    ...configurations,
    listener: server,
    current: () => current ?? first,
    signal: stopping.signal,
    observe: metrics,
    record,
  });
  let stopped: Promise<void> | undefined;
  const close = () => {
    stopping.abort();
    stopped ??= settled().then(() => closeAll(opened));
    return stopped;
  };
  return {
    app,
    admin,
    publicAddress,
    adminAddress,
    reload,
    async drain() {
      runtime.draining = true;
      await drain(server, {
        drainTimeoutMs: (current ?? first).loaded.config.server.drainTimeout,
        lameDuckMs,
        openRequests: () => runtime.open.size + runtime.drainingAnswers.size,
        signal: stopping.signal,
      });
      await close();
    },
    close,
  };
}

/** The last opened first. Throws the first failure once all are closed. */
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
async function closePublic(app: FastifyInstance, server: Server, runtime: Runtime): Promise<void> {
  server.closeAllConnections();
  await app.close();
  while (runtime.open.size > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  for (const giveUp of runtime.drainingAnswers) giveUp();
}

interface AdminParts {
  readonly audit: ReconfigurableAuditLog;
  readonly metrics: Metrics;
  readonly probes: UpstreamProbes;
  readonly revocations: RevocationFeed;
  readonly runtime: Runtime;
  readonly version: string;
}

interface AdminState {
  readonly configuration: () => Configuration;
  /** False until the start is over. */
  readonly listening: () => boolean;
}

function openAdmin(parts: AdminParts, state: AdminState): FastifyInstance {
  const { audit, metrics, probes, revocations, runtime, version } = parts;
  return createAdmin({
    log: runtime.log,
    metricsContentType: metrics.contentType,
    scrape: () =>
      metrics.scrape({
        ...state.configuration().expiries,
        keySets: [...runtime.snapshot.authenticators.keySets.values()],
        probes: probes.states(),
      }),
    notReady: () => [...(state.listening() ? [] : ['starting']), ...reasonsNotReady(runtime, probes)],
    status: () => ({
      version,
      policy: state.configuration().loaded.hash,
      draining: runtime.draining,
      openRequests: runtime.open.size,
      auditHealthy: audit.healthy(),
      revocation: revocations.state(),
    }),
    publishedKeys: () => runtime.snapshot.publishedKeys,
  });
}

function reasonsNotReady(runtime: Runtime, probes: UpstreamProbes): string[] {
  const reasons: string[] = [];
  if (runtime.draining) reasons.push('draining: the process was told to stop');
  if (!runtime.audit.healthy()) reasons.push('audit: a required sink does not take records');
  for (const keySet of runtime.snapshot.authenticators.keySets.values())
    if (!keySet.ready()) reasons.push(`issuer ${keySet.issuer}: no keys yet, or they are too old`);
  return [...reasons, ...probes.notReady()];
}

function tellOfFewDescriptors({ config }: LoadedConfig, log: Log): void {
  const { connections } = config.server.limits;
  const possible = connectionCeiling();
  if (possible < connections) {
    log.info(
      `server.limits.connections is ${connections}, but the process may open too few files: ${possible} are accepted`,
    );
  }
}

function messageOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message : String(cause);
}
