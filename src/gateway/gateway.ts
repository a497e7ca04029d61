// The running gateway: both listeners around `takeRequest`, replacement of the snapshot while it runs, drain and stop.
import { randomUUID } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { createAuditLog } from '../audit/audit-log.ts';
import type { AuditEvent } from '../audit/event.ts';
import { closeAuthenticators, startAuthenticators } from '../authn/registry.ts';
import { createProofMemory } from '../authn/token/dpop.ts';
import type { Schedule } from '../authn/token/jwks.ts';
import { apiKeyExpiries, certificateExpiries, revocationListExpiries } from '../config/expiries.ts';
import type { LoadedConfig, LoadOptions } from '../config/load.ts';
import { createAdmin } from '../http/admin.ts';
import { drain } from '../http/drain.ts';
import { connectionCeiling, createPeerCertificateReader, prepareListener } from '../http/listener.ts';
import type { Log } from '../log.ts';
import { createMetrics } from '../metrics/metrics.ts';
import { openPublicListener } from './public-server.ts';
import { streamTickMs, sweepStreams } from './request/streams.ts';
import { createRevocationFeed } from './revocation-watcher.ts';
import type { Runtime } from './runtime.ts';
import { compileSnapshot } from './snapshot.ts';
import { createUpstreamProbes, type UpstreamProbes } from './upstream-probes.ts';
import { closeUpstreams } from './upstream-set.ts';

export interface GatewayOptions {
  readonly loaded: LoadedConfig;
  readonly log: Log;
  readonly version: string;
  /** Milliseconds since 1970; the system clock by default. */
  readonly now?: () => number;
  /** How key sets wait for their next fetch; by default on the system's clock. */
  readonly schedule?: Schedule;
  /** How often the open streams are looked at; by default what keeps every promise made about them. */
  readonly streamTickMs?: number;
  /** How often the revocation file is looked at; by default what keeps the promise made about it. */
  readonly revocationPollMs?: number;
}

/** What a reload depends on besides the files. */
export type ReloadOptions = Pick<LoadOptions, 'revocationsInForce'>;

export interface Gateway {
  /** What is really listened on, ports included. */
  readonly publicAddress: AddressInfo;
  readonly adminAddress: AddressInfo;
  /** Replaces the snapshot by what `load` yields. A failure leaves the old one in force and is recorded; it is never thrown. */
  reload(load: (options: ReloadOptions) => Promise<LoadedConfig>): Promise<void>;
  /** Not ready at once, serves on with `Connection: close`, then stops; open streams end when `drainTimeout` has passed. */
  drain(): Promise<void>;
  /** Stops at once: connections are cut, their records are written. */
  close(): Promise<void>;
}

/** How long a draining gateway goes on accepting connections that were on their way when it was told to stop. */
const lameDuckMs = 5000;

/** Opens the audit log, compiles the snapshot and listens. Throws an Error that says in one line what cannot be used. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { log } = options;
  const now = options.now ?? Date.now;
  const metrics = createMetrics(options.version);
  let loaded = options.loaded;
  let revocationLists = revocationListExpiries(loaded);
  const authnRuntime = {
    proofMemory: createProofMemory(),
    log,
    now,
    observe: metrics,
    schedule: options.schedule,
  };
  const audit = await createAuditLog(loaded.config.audit, {
    instance: randomUUID(),
    policy: () => loaded.hash,
    log,
    now,
    observe: { written: metrics.auditWritten, failed: metrics.auditFailed },
  });
  const recordChange = (detail: Readonly<Record<string, unknown>>): void => {
    audit
      .write(configEvent(loaded.hash, detail, now()))
      .catch((cause: unknown) => log.error({ err: cause, detail }, 'a change could not be recorded'));
  };
  const revocations = createRevocationFeed(loaded.revocations, {
    log,
    observe: metrics,
    intervalMs: options.revocationPollMs,
    record: recordChange,
  });
  const probes = createUpstreamProbes({ log, record: recordChange });
  const runtime: Runtime = {
    snapshot: compileSnapshot(loaded, authnRuntime, undefined),
    draining: false,
    now,
    log,
    metrics,
    audit,
    peerCertificate: createPeerCertificateReader(),
    revocations: revocations.current,
    open: new Set(),
    streams: new Set(),
    leftBehind: new Set(),
  };
  startAuthenticators(runtime.snapshot.authenticators);
  const { app, server } = await openPublicListener(runtime, loaded);
  const admin = createAdmin({
    metricsContentType: metrics.contentType,
    scrape: () =>
      metrics.scrape({
        keySets: [...runtime.snapshot.authenticators.keySets.values()],
        certificates: certificateExpiries(loaded),
        revocationLists,
        apiKeys: apiKeyExpiries(loaded),
        probes: probes.states(),
      }),
    notReady: () => reasonsNotReady(runtime, probes),
    status: () => ({
      version: options.version,
      policy: loaded.hash,
      draining: runtime.draining,
      openRequests: runtime.open.size,
      auditHealthy: audit.healthy(),
      revocation: revocations.state(),
    }),
    publishedKeys: () => runtime.snapshot.publishedKeys,
  });
  await listen(admin, loaded.config.admin.listen);
  await listen(app, loaded.config.server.listen);
  tellOfFewDescriptors(loaded, log);
  metrics.configurationLoaded(loaded.hash);
  const started = { event: 'started', version: options.version, revocation: revocations.state() };
  await audit.write(configEvent(loaded.hash, started, now()));
  probes.follow(runtime.snapshot);

  const sweeping = setInterval(() => sweepStreams(runtime), options.streamTickMs ?? streamTickMs).unref();

  let reloading: Promise<void> = Promise.resolve();
  async function replace(load: (options: ReloadOptions) => Promise<LoadedConfig>): Promise<void> {
    try {
      const next = await load({ revocationsInForce: revocations.path() });
      refuseRestartOnly(loaded, next);
      const snapshot = compileSnapshot(next, authnRuntime, runtime.snapshot);
      const nextLists = revocationListExpiries(next);
      const updateListener = prepareListener(server, next.config.server, next.files);
      const sinks = await audit.prepare(next.config.audit);
      updateListener();
      sinks.commit();
      const previous = runtime.snapshot;
      runtime.snapshot = snapshot;
      startAuthenticators(snapshot.authenticators);
      revocations.follow(next.revocations);
      probes.follow(snapshot);
      loaded = next;
      revocationLists = nextLists;
      metrics.configurationLoaded(next.hash);
      log.info({ policy: next.hash }, 'configuration reloaded');
      await audit.write(configEvent(next.hash, { event: 'reloaded', previous: previous.hash }, now()));
      closeAuthenticators(previous.authenticators, snapshot.authenticators);
      // Not awaited: an open stream may keep an old connection for hours.
      closeUpstreams(previous.upstreams, snapshot.upstreams).catch((cause: unknown) =>
        log.warn({ err: cause }, 'an old upstream connection did not close'),
      );
    } catch (cause) {
      metrics.configurationRefused();
      const message = cause instanceof Error ? cause.message : String(cause);
      log.error(`configuration not reloaded, the old one stays in force: ${message}`);
      await audit.write(configEvent(loaded.hash, { event: 'reload refused', problem: message }, now()));
    }
  }

  async function stop(): Promise<void> {
    server.closeAllConnections();
    await app.close();
    await pathsEnded(runtime);
    clearInterval(sweeping);
    revocations.close();
    probes.close();
    await admin.close();
    closeAuthenticators(runtime.snapshot.authenticators);
    await closeUpstreams(runtime.snapshot.upstreams);
    await audit.close();
  }

  return {
    publicAddress: server.address() as AddressInfo,
    adminAddress: admin.server.address() as AddressInfo,
    reload(load) {
      reloading = reloading
        .then(() => replace(load))
        .catch((cause: unknown) => log.error({ err: cause }, 'the reload could not be recorded'));
      return reloading;
    },
    async drain() {
      runtime.draining = true;
      await drain(server, {
        drainTimeoutMs: loaded.config.server.drainTimeout,
        lameDuckMs,
        openRequests: () => runtime.open.size + runtime.leftBehind.size,
      });
      await stop();
    },
    close: stop,
  };
}

async function listen(app: FastifyInstance, address: string): Promise<void> {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
  await app.listen({ host, port: Number(address.slice(colon + 1)), listenTextResolver: () => '' });
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

/** What sockets are bound to cannot be changed under them. */
function refuseRestartOnly(current: LoadedConfig, next: LoadedConfig): void {
  const changed = [
    current.config.server.listen !== next.config.server.listen && 'server.listen',
    current.config.admin.listen !== next.config.admin.listen && 'admin.listen',
    (current.config.server.tls === undefined) !== (next.config.server.tls === undefined) && 'server.tls (on or off)',
  ].filter((key) => key !== false);
  if (changed.length > 0) throw new Error(`${changed.join(' and ')} cannot change while the gateway runs; restart it`);
}

function configEvent(policy: string, detail: Readonly<Record<string, unknown>>, nowMs: number): AuditEvent {
  return { id: randomUUID(), time: nowMs, stage: 'config', detail, policy };
}

async function pathsEnded(runtime: Runtime): Promise<void> {
  while (runtime.open.size > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  for (const giveUp of runtime.leftBehind) giveUp();
}
