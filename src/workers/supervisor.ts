// Supervisor of worker processes: it reads the configuration, accepts the connections, and answers as admin for all of them.
import { randomUUID } from 'node:crypto';
import { type AddressInfo, createServer } from 'node:net';
import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { formatProblem } from '../config/load.ts';
import type { Config } from '../config/schema/config.ts';
import { watchFiles } from '../config/watch.ts';
import { messageOf } from '../errors.ts';
import { createAdmin } from '../gateway/admin/admin.ts';
import { lameDuckMs } from '../gateway/gateway.ts';
import type { InheritedSockets } from '../gateway/listeners/inherited-sockets.ts';
import { listenOn } from '../gateway/listeners/listen.ts';
import { createRefusalLog } from '../gateway/plugins/connections.ts';
import { drain } from '../http/connection/drain.ts';
import { connectionCeiling, createPeerAddressReader } from '../http/connection/listener.ts';
import type { Log } from '../log.ts';
import { createLocalState } from '../state/local-state.ts';
import { createSumSource } from './admin-source.ts';
import { consoleOf } from './console.ts';
import { createHandOver, type HandOver } from './hand-over.ts';
import { type InForce, readConfiguration } from './in-force.ts';
import { createSupervisorMetrics, type SupervisorMetrics } from './metrics.ts';
import { forkWorker } from './process.ts';
import { addressIn, listenable } from './public-listener.ts';
import { createCommons } from './shared/commons.ts';
import { createSharedOutput } from './stdout.ts';
import { createWorkforce } from './workforce.ts';

/** Options of `startSupervisor`. */
export interface SupervisorOptions {
  readonly configFile: string;
  readonly log: Log;
  readonly version: string;
  readonly env: NodeJS.ProcessEnv;
  /** The program, and its arguments for the worker of a slot. */
  readonly program: string;
  readonly argsOf: (slot: number) => readonly string[];
  /** Told when no worker can be started any more. */
  readonly gaveUp: (problem: Error) => void;
  /** Sockets that are listened on in place of new ones; another generation of the gateway may accept from them too. */
  readonly inherited?: InheritedSockets | undefined;
  /** Ends the start, which then throws. */
  readonly signal?: AbortSignal | undefined;
}

/** A running gateway of several processes. */
export interface Supervisor {
  readonly publicAddress: AddressInfo;
  readonly adminAddress: AddressInfo;
  /** The admin application. */
  readonly admin: FastifyInstance;
  /** Reloads the file in all workers, or in none. */
  reload(): Promise<void>;
  drain(): Promise<void>;
  close(): Promise<void>;
  /** Ends the workers at once, for the end of this process. */
  kill(): void;
}

/** Time in which a file that has changed must be still. */
const quietMs = 1000;
/** For what a worker does when its requests have ended: last records, last counts. */
const stopMs = 15_000;

/** The number of processes that a configuration asks for. */
export function workersOf({ server: { workers } }: Pick<Config, 'server'>): number {
  return workers === 'auto' ? availableParallelism() : workers;
}

/** Starts the workers and listens. Throws one clear error when any of it cannot be; then nothing is left open. */
export async function startSupervisor(options: SupervisorOptions): Promise<Supervisor> {
  const { configFile, env, inherited = {}, log, signal, version } = options;
  const stamps = new Map<string, string>();
  let inForce = await readConfiguration(options, stamps, undefined);
  for (const warning of inForce.loaded.warnings) log.warn(formatProblem(warning));
  const { server, admin: adminConfig } = inForce.loaded.config;
  const count = workersOf(inForce.loaded.config);
  const metrics = createSupervisorMetrics();
  const handOver = startHandOver(server.listen, count, () => inForce, { log, metrics });
  const listener = createServer({ pauseOnConnect: true, noDelay: true }, handOver.accept);
  let condition: string | undefined = 'starting';
  let publicAddress: AddressInfo | undefined;
  const isGeneration = inherited.public !== undefined;
  const workforce = createWorkforce({
    count,
    isGeneration,
    configFile,
    instance: randomUUID(),
    log,
    metrics,
    handOver,
    commons: createCommons(count, createLocalState({ now: Date.now })),
    output: createSharedOutput(1),
    fork: (slot) => forkWorker({ program: options.program, args: options.argsOf(slot), env }),
    inForce: () => inForce,
    address: () => publicAddress ?? addressIn(server.listen),
    gaveUp: options.gaveUp,
  });
  const source = createSumSource({
    seats: workforce.seats,
    metrics,
    version,
    inForce: () => inForce,
    problem: () => condition,
  });
  const openConsole = consoleOf(workforce, source, version, log);
  const admin = createAdmin({ source, loaded: inForce.loaded, log, openConsole });
  const stopping = new AbortController();

  const closeListeners = async (): Promise<void> => {
    listener.close();
    handOver.close();
    await admin.close();
  };
  const abort = () => void workforce.stop('close', stopMs);
  let adminAddress: AddressInfo;
  const listen = async (): Promise<void> => {
    adminAddress = await listenOn(admin, adminConfig.listen, 'admin.listen', inherited.admin);
    publicAddress = await listenOn(listenable(listener), server.listen, 'server.listen', inherited.public);
  };
  try {
    if (!isGeneration) await listen();
    signal?.throwIfAborted();
    signal?.addEventListener('abort', abort, { once: true });
    await workforce.start();
    signal?.throwIfAborted();
    // Not before it can serve: the generation before serves until then.
    if (isGeneration) await listen();
  } catch (error) {
    workforce.kill();
    await closeListeners();
    throw error;
  }
  signal?.removeEventListener('abort', abort);
  listener.on('error', (error) => log.error({ err: error }, 'the public listener reported an error'));
  condition = undefined;

  let last: Promise<void> = Promise.resolve();
  async function reloadNow(): Promise<void> {
    if (stopping.signal.aborted) return;
    let next = inForce;
    const load = async () => {
      const found = new Map<string, string>();
      try {
        next = await readConfiguration(options, found, inForce.loaded);
      } finally {
        // The files of a refused configuration are watched too: missing ones may still come.
        watch.follow(found);
      }
      return next;
    };
    try {
      await workforce.replace(load, () => {
        inForce = next;
        inForce.updateAdmin(admin.server);
      });
      metrics.reloaded(true);
      log.info({ policy: inForce.hash }, 'configuration reloaded in all workers');
    } catch (cause) {
      if (stopping.signal.aborted) return;
      metrics.reloaded(false);
      await workforce.refuse(messageOf(cause));
    }
  }
  const reload = (): Promise<void> => {
    last = last.then(reloadNow);
    return last;
  };
  const watch = watchFiles(stamps, reload, { quietMs });

  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => {
    watch.close();
    stopping.abort();
    condition = 'stopping';
    closed ??= workforce.stop('close', stopMs).then(closeListeners);
    listener.close();
    return closed;
  };
  return {
    publicAddress: publicAddress!,
    adminAddress: adminAddress!,
    admin,
    reload,
    close,
    async drain() {
      watch.close();
      condition = 'draining: the process was told to stop';
      const { drainTimeout: drainTimeoutMs } = inForce.loaded.config.server;
      const { signal } = stopping;
      // Scrapes and probes are the next generation's, too.
      if (inherited.admin !== undefined) admin.server.close();
      const listening = drain(listener, {
        // Those that were accepted are the workers'.
        sharedConnections: isGeneration ? () => 0 : undefined,
        drainTimeoutMs,
        lameDuckMs,
        openRequests: () => 0,
        signal,
      });
      // Workers stop taking connections after this process has stopped accepting them.
      await delay(headStartMs);
      await Promise.all([listening, workforce.stop('drain', drainTimeoutMs + stopMs)]);
      await close();
    },
    kill: workforce.kill,
  };
}

const headStartMs = 200;

function startHandOver(
  listen: string,
  count: number,
  inForce: () => InForce,
  { log, metrics }: { readonly log: Log; readonly metrics: SupervisorMetrics },
): HandOver {
  const tell = createRefusalLog({ log, metrics, now: Date.now });
  return createHandOver({
    peerAddress: createPeerAddressReader(listen),
    isExempt: (peer) => inForce().isProxy(peer),
    limits() {
      const { limits } = inForce().loaded.config.server;
      return { ...limits, connections: Math.min(limits.connections, count * connectionCeiling()) };
    },
    refused: (reason, address) => (reason === 'overloaded' ? metrics.connectionRefused(reason) : tell(address)),
  });
}
