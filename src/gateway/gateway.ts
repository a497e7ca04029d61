// Start, drain and stop of the gateway and its two listeners.
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { drain } from '../http/connection/drain.ts';
import { type ConsoleApplication, createAdmin } from './admin/admin.ts';
import { createAdminSource, type ProcessSource, type ReloadHistory, type RunningParts } from './admin/admin-source.ts';
import { createApp } from './app.ts';
import { warnOfFewDescriptors } from './listeners/few-descriptors.ts';
import type { InheritedSockets } from './listeners/inherited-sockets.ts';
import { listenOn } from './listeners/listen.ts';
import { createParts, createRuntime, type PartsOptions, recordStart } from './parts.ts';
import {
  type Configuration,
  closeSnapshot,
  createReloader,
  type Load,
  prepareConfiguration,
  type Reloader,
  unlessAborted,
} from './reload.ts';
import type { Pipeline } from './request/pipeline.ts';
import { streamTickMs, sweepStreams } from './request/streams.ts';
import { isPending, type Runtime } from './runtime.ts';
import type { PendingRequest } from './siblings.ts';

/** Options of `startGateway`. */
export interface GatewayOptions extends PartsOptions {
  /** Interval of the checks of open streams; the default keeps the promise of five seconds. */
  readonly streamTickMs?: number;
  /** The steps of a request; all of them by default. */
  readonly pipeline?: Pipeline;
  /** Aborts the start, which then throws. */
  readonly signal?: AbortSignal;
  /** Sockets that are listened on in place of new ones; another generation of the gateway may accept from them too. */
  readonly inherited?: InheritedSockets;
  /** For a worker, of which no socket listens: connections are brought to the public server, and another process answers for it as admin. */
  readonly connections?: BroughtConnections;
  /** Makes the application of the console; none by default. */
  readonly openConsole?: (parts: RunningParts) => Promise<ConsoleApplication>;
}

/** Connections that another process accepts. */
export interface BroughtConnections {
  readonly address: AddressInfo;
  /** Brings connections to the server from now on. */
  readonly begin: (server: Server) => void;
}

/** A running gateway. */
export interface Gateway {
  /** The public application; tests use its `inject`. */
  readonly app: FastifyInstance;
  /** The admin application. */
  readonly admin: FastifyInstance;
  /** The source of its answers. */
  readonly source: ProcessSource;
  readonly parts: RunningParts;
  /** The bound address and port; for a unix socket `unix:` with its path, and port 0. */
  readonly publicAddress: AddressInfo;
  readonly adminAddress: AddressInfo;
  /** Replaces the configuration by the result of `load`. A failure leaves the old one in force and is recorded, not thrown. */
  reload(load: Load): Promise<void>;
  /** True if the request is under way here; another process asks. */
  isPending(request: PendingRequest): boolean;
  /** The two halves of a reload, and its refusal, for a supervisor. */
  readonly reloader: Pick<Reloader, 'prepare' | 'refuse'>;
  /** Writes a `config` record; a failure is logged. */
  record(detail: Readonly<Record<string, unknown>>): Promise<void>;
  /**
   * Turns not ready, serves on with `Connection: close`, then stops; streams that are open after `drainTimeout` end. New connections to inherited
   * sockets are left to the next generation from the beginning.
   */
  drain(): Promise<void>;
  /** Stops at once, also during a drain: cuts connections and writes their records. */
  close(): Promise<void>;
}

/** Time in which a draining gateway still accepts connections. */
export const lameDuckMs = 5000;

/** Closes one open part of the gateway. */
type Closer = () => Promise<void>;

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
  const { loaded, log, openConsole, signal } = options;
  const state: GatewayState = { inForce: undefined, publicAddress: undefined, started: false };
  const parts = createParts(options, () => (state.inForce?.loaded ?? loaded).hash);
  opened.push(
    parts.audit.close,
    async () => parts.revocations.close(),
    async () => parts.probes.close(),
    async () => parts.definitions.close(),
    async () => parts.history.close(),
    parts.state.close,
  );
  const first = await prepareConfiguration(loaded, undefined, parts, signal);
  opened.push(() => (state.inForce === undefined ? first.dispose() : closeSnapshot(state.inForce.snapshot)));
  const runtime = createRuntime(loaded.config.server.listen, first.snapshot, parts);
  const flush = (isEnd: boolean) => {
    for (const sums of [runtime.strangers, runtime.overLimits]) sums.flush(isEnd);
  };
  const flushing = setInterval(flush, 1000, false).unref();
  opened.push(async () => {
    clearInterval(flushing);
    flush(true);
  });
  const reloads: ReloadHistory = { inForceSince: parts.now(), refused: undefined };
  const install = (next: Configuration): void => {
    state.inForce = next;
    Object.assign(reloads, { inForceSince: parts.now(), refused: undefined });
    runtime.snapshot = next.snapshot;
    const pinned = next.snapshot.routes.filter(({ pins }) => pins !== undefined);
    parts.metrics.configurationLoaded(next.loaded.hash, {
      limits: [...next.snapshot.limits.keys()],
      pinnedRoutes: pinned.map(({ name }) => name),
      isShadowCurrent: next.snapshot.shadow?.problem === undefined,
    });
  };
  const current = () => state.inForce ?? first;
  const running: RunningParts = {
    ...parts,
    ...{ runtime, current, reloads },
    started: () => state.started,
    publicAddress: () => state.publicAddress,
  };
  const source = createAdminSource(running);
  const { listen } = loaded.config.admin;
  const admin = createAdmin({ source, loaded, log, openConsole: openConsole && (() => openConsole(running)) });
  opened.push(() => admin.close());
  const app = await createApp(runtime, loaded, options.pipeline);
  opened.push(() => closePublic(app, runtime));
  const { connections, inherited = {} } = options;
  const { server } = loaded.config;
  const adminAddress =
    connections?.address ?? (await unlessAborted(listenOn(admin, listen, 'admin.listen', inherited.admin), signal));
  const publicAddress =
    connections?.address ??
    (await unlessAborted(listenOn(app, server.listen, 'server.listen', inherited.public), signal));
  state.publicAddress = publicAddress;
  app.server.on('error', (error) => log.error({ err: error }, 'the public listener reported an error'));
  first.commit({ public: app.server, admin: admin.server }, install);
  const sweeping = setInterval(() => sweepStreams(runtime), options.streamTickMs ?? streamTickMs).unref();
  opened.push(async () => clearInterval(sweeping));
  await unlessAborted(recordStart(options.version, parts), signal);
  state.started = true;
  connections?.begin(app.server);
  warnOfFewDescriptors(loaded, log);
  const isGeneration = options.mustHold === true || inherited.public !== undefined;
  const controls = controlsOf({ admin, app, inherited, isGeneration, install, opened, parts: running, reloads });
  return { app, admin, source, parts: running, publicAddress, adminAddress, record: parts.record, ...controls };
}

/** The controls of a running gateway. */
function controlsOf(running: {
  readonly admin: FastifyInstance;
  readonly app: FastifyInstance;
  readonly inherited: InheritedSockets;
  /** Another process accepts from the same socket. */
  readonly isGeneration: boolean;
  readonly install: (next: Configuration) => void;
  readonly opened: Closer[];
  readonly parts: RunningParts;
  readonly reloads: ReloadHistory;
}): Pick<Gateway, 'reload' | 'reloader' | 'isPending' | 'drain' | 'close'> {
  const { admin, app, inherited, isGeneration, install, opened, parts, reloads } = running;
  const { current, runtime } = parts;
  const observe = {
    configurationRefused(problem: string) {
      reloads.refused = { time: parts.now(), problem };
      parts.metrics.configurationRefused();
    },
  };
  const stopping = new AbortController();
  const { signal } = stopping;
  const listeners = { public: app.server, admin: admin.server };
  const reloader = createReloader({ ...parts, listeners, install, signal, observe });
  let stopped: Promise<void> | undefined;
  const close = (): Promise<void> => {
    stopping.abort();
    stopped ??= reloader.settled().then(() => closeAll(opened));
    return stopped;
  };
  return {
    reload: reloader.reload,
    isPending: (request) => isPending(request, runtime),
    reloader,
    close,
    async drain() {
      runtime.draining = true;
      // Scrapes and probes are the next generation's, too.
      if (inherited.admin !== undefined) admin.server.close();
      await drain(app.server, {
        sharedConnections: isGeneration ? () => runtime.connections : undefined,
        drainTimeoutMs: current().loaded.config.server.drainTimeout,
        lameDuckMs,
        openRequests: () => runtime.open.size() + runtime.drainingAnswers.size(),
        signal,
      });
      await close();
    },
  };
}

interface GatewayState {
  /** Undefined until the first one is committed. */
  inForce: Configuration | undefined;
  /** Undefined until the public listener listens. */
  publicAddress: AddressInfo | undefined;
  /** Both listeners listen, and the first record is written. */
  started: boolean;
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
  while (runtime.open.size() > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  for (const { abort } of runtime.drainingAnswers) abort();
}
