// Command `portcullis serve`: the gateway until a signal ends it, reloaded on SIGHUP and on changes of its files.
import type { AddressInfo } from 'node:net';
import { Command, Option } from 'commander';
import { formatProblem, type LoadedConfig, loadConfig } from '../config/load.ts';
import { type Slot, withSlot } from '../config/slot.ts';
import { watchFiles } from '../config/watch.ts';
import type { ConsoleApplication } from '../gateway/admin/admin.ts';
import type { RunningParts } from '../gateway/admin/admin-source.ts';
import { type Gateway, startGateway } from '../gateway/gateway.ts';
import { startInFreeSlot } from '../gateway/listeners/free-slot.ts';
import { type InheritedSockets, takeInheritedSockets } from '../gateway/listeners/inherited-sockets.ts';
import { type ReloadOptions, unlessAborted } from '../gateway/reload.ts';
import { createLog, type Log, type LogFormat } from '../log.ts';
import { startSupervisor, workersOf } from '../workers/supervisor.ts';
import { runWorker } from '../workers/worker.ts';
import { isColoured, logFormatOption, logLevelOption } from './output.ts';
import { createServiceManager } from './service-manager.ts';
import { catchSignals, type Signals } from './signals.ts';
import { packageVersion } from './version.ts';

const quietMs = 1000;

/** A running gateway with its file watch. */
export interface RunningGateway extends Running {
  readonly gateway: Gateway;
}

/** A gateway of one process or of several. */
interface Running extends Pick<Gateway, 'publicAddress' | 'adminAddress'> {
  /** Reloads the file now, as SIGHUP does. */
  reload(): Promise<void>;
  /** The reasons for which it is not ready, as one line; undefined while it is. */
  reasonsNotReady(): Promise<string | undefined>;
  /** Lets what is in flight end. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

/** Options of `runGateway`. */
export interface RunOptions {
  readonly configFile: string;
  readonly log: Log;
  readonly env?: NodeJS.ProcessEnv;
  /** Ends the start, which then throws. */
  readonly signal?: AbortSignal;
  /** Sockets that are listened on in place of new ones. */
  readonly inherited?: InheritedSockets;
}

/** Loads, starts and watches. Throws one clear error when any of it cannot be; then nothing is left open. */
export async function runGateway(options: RunOptions): Promise<RunningGateway> {
  const stamps = new Map<string, string>();
  return runLoaded(await load(options, stamps), stamps, options);
}

function load({ configFile, env = process.env, signal }: RunOptions, stamps: Map<string, string>) {
  return unlessAborted(loadConfig(configFile, { env, stamps }), signal);
}

async function runLoaded(
  loaded: LoadedConfig,
  stamps: Map<string, string>,
  { configFile, log, env = process.env, inherited, signal }: RunOptions,
): Promise<RunningGateway> {
  for (const warning of loaded.warnings) log.warn(formatProblem(warning));
  const given = {
    log,
    version: packageVersion(),
    openConsole,
    ...(signal && { signal }),
    ...(inherited && { inherited }),
  };
  const isGeneration = inherited?.public !== undefined;
  const start = async (slot: Slot | undefined) => ({
    slot,
    gateway: await startGateway({ ...given, loaded: withSlot(loaded, slot), mustHold: isGeneration }),
  });
  const { gateway, slot } = await (isGeneration ? startInFreeSlot(undefined, start) : start(undefined));
  const load = async (options: ReloadOptions) => {
    const read = new Map<string, string>();
    try {
      return withSlot(await loadConfig(configFile, { env, stamps: read, ...options }), slot);
    } finally {
      // The files of a refused configuration are watched too: missing ones may still come.
      watch.follow(read);
    }
  };
  const reload = () => gateway.reload(load);
  const watch = watchFiles(stamps, reload, { quietMs });
  return {
    gateway,
    publicAddress: gateway.publicAddress,
    adminAddress: gateway.adminAddress,
    reload,
    reasonsNotReady: () => reasonsNotReady(gateway),
    async drain() {
      watch.close();
      await gateway.drain();
    },
    async close() {
      watch.close();
      await gateway.close();
    },
  };
}

/** The console of one process. Its modules are loaded when somebody opens it. */
async function openConsole(parts: RunningParts): Promise<ConsoleApplication> {
  const { createGatewayConsole } = await import('../console/gateway-console.ts');
  return createGatewayConsole(parts);
}

/** The text of `/readyz`, without a socket. */
async function reasonsNotReady({ admin }: Pick<Gateway, 'admin'>): Promise<string | undefined> {
  const { body, statusCode } = await admin.inject('/readyz');
  return statusCode === 200 ? undefined : body.trim().replace(/\s*\n- /g, '; ');
}

interface ServeOptions {
  readonly config: string;
  readonly logLevel: string;
  readonly logFormat: LogFormat;
  readonly worker?: string;
}

/** Exit code 0 after a stop; 1 when the gateway cannot start or stop; 2 when the configuration file cannot be read. */
export function serveCommand(signals?: Signals): Command {
  return new Command('serve')
    .requiredOption('-c, --config <file>', 'configuration file')
    .addOption(logLevelOption('info'))
    .addOption(logFormatOption('json'))
    .addOption(new Option('--worker <slot>', 'run as a worker; for the supervisor only').hideHelp())
    .action(({ worker, ...options }: ServeOptions) =>
      worker === undefined
        ? serve(options, signals ?? catchSignals())
        : serveAsWorker(worker, options, signals ?? catchSignals()),
    );
}

/**
 * Signals: SIGHUP reloads, once after the start where it came before. The first SIGTERM drains; SIGINT, a second signal, or any during the start stops
 * at once. One more ends the process as it is.
 */
async function serve(options: ServeOptions, signals: Signals): Promise<void> {
  const log = logOf(options);
  const manager = createServiceManager(process.env, log);
  const inherited = takeInheritedSockets(process.env, process.pid);
  const start = new AbortController();
  let running: Running | undefined;
  let reloadDue = false;
  let stopping: 'drain' | 'close' | undefined;
  signals.listen((signal) => {
    if (signal === 'SIGHUP') {
      reloadDue = running === undefined;
      if (running !== undefined) void manager.reloading(running.reload);
      return;
    }
    if (stopping === 'close') process.exit(1);
    stopping = signal === 'SIGTERM' && stopping === undefined && running !== undefined ? 'drain' : 'close';
    const status = stopping === 'drain' ? 'draining' : 'stopping';
    log.info(status);
    manager.stopping(status);
    start.abort(new Error('told to stop'));
    if (running !== undefined) void end(running[stopping](), log);
  });
  try {
    running = await run(options, { configFile: options.config, log, inherited, signal: start.signal });
  } catch (error) {
    if (start.signal.aborted) process.exit(0);
    // Nothing that a library might still hold open keeps the process.
    setTimeout(() => process.exit(), 1000).unref();
    throw error;
  }
  if (stopping !== undefined) return end(running.close(), log);
  surviveTheUnexpected(log);
  log.info(placesOf(running), 'portcullis is listening');
  void manager.started(running.reasonsNotReady, start.signal);
  if (reloadDue) void manager.reloading(running.reload);
}

/** Runs the gateway in this process, or as the supervisor of several. */
async function run({ logFormat, logLevel }: ServeOptions, options: RunOptions): Promise<Running> {
  const stamps = new Map<string, string>();
  const loaded = await load(options, stamps);
  if (workersOf(loaded.config) === 1) return runLoaded(loaded, stamps, options);
  const { configFile, log } = options;
  const supervisor = await startSupervisor({
    ...options,
    version: packageVersion(),
    env: process.env,
    program: process.argv[1]!,
    argsOf: (slot) => [
      ...['serve', '--config', configFile, '--worker', String(slot)],
      ...['--log-level', logLevel, '--log-format', logFormat],
    ],
    gaveUp(problem) {
      log.fatal(problem.message);
      process.exit(1);
    },
  });
  process.on('exit', supervisor.kill);
  return { ...supervisor, reasonsNotReady: () => reasonsNotReady(supervisor) };
}

/** Signals are the supervisor's, which a terminal sends to all processes; SIGTERM to this one alone has it replaced. */
async function serveAsWorker(slot: string, options: ServeOptions, signals: Signals): Promise<void> {
  if (process.send === undefined) throw new Error('--worker is for the supervisor; leave it out');
  const name = options.logFormat === 'ecs' ? { 'service.node.name': `worker ${slot}` } : { worker: Number(slot) };
  const log = logOf(options).child(name);
  const worker = runWorker({ port: process, log, version: packageVersion(), env: process.env, exit: process.exit });
  signals.listen((signal) => {
    if (signal === 'SIGTERM') void worker.retire();
  });
  surviveTheUnexpected(log);
}

/** The operator's log as the options say, on stderr. */
export function logOf({ logLevel: level, logFormat: format }: Pick<ServeOptions, 'logLevel' | 'logFormat'>): Log {
  return createLog({ level, format, colour: isColoured(process.stderr, process.env) });
}

async function end(stopped: Promise<void>, log: Log): Promise<void> {
  try {
    await stopped;
  } catch (cause) {
    log.error({ err: cause }, 'the gateway did not stop cleanly');
    process.exit(1);
  }
  process.exit(0);
}

function placesOf({ publicAddress, adminAddress }: Running): Record<string, unknown> {
  const isSocket = ({ family }: AddressInfo) => family === 'unix';
  return {
    address: publicAddress.address,
    ...(!isSocket(publicAddress) && { port: publicAddress.port }),
    ...(isSocket(adminAddress) ? { adminAddress: adminAddress.address } : { adminPort: adminAddress.port }),
  };
}

/** An error that nobody foresaw costs its own request at most, never the process. */
function surviveTheUnexpected(log: Log): void {
  process.on('uncaughtException', (cause) => log.error({ err: cause }, 'an unexpected error was caught at the top'));
  process.on('unhandledRejection', (cause) =>
    log.error({ err: cause }, 'an unexpected rejection was caught at the top'),
  );
}
