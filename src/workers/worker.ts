// Worker process: a gateway that gets its connections, its configuration and its orders from a supervisor.
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { LineOutput } from '../audit/sinks/sink-type.ts';
import { type FilesRead, replayReading } from '../config/files/reading.ts';
import { loadConfig } from '../config/load.ts';
import { type Slot, withSlot } from '../config/slot.ts';
import { type Gateway, startGateway } from '../gateway/gateway.ts';
import { startInFreeSlot } from '../gateway/listeners/free-slot.ts';
import type { PreparedReload, ReloadOptions } from '../gateway/reload.ts';
import type { Log } from '../log.ts';
import type { SupervisorCalls, ToSupervisor, WorkerCalls, WorkerStart } from './calls.ts';
import { createChannel, type Port } from './channel.ts';
import { answerConsole } from './console.ts';
import { type Membership, openMembership } from './shared/membership.ts';

/** Options of `runWorker`. */
export interface WorkerOptions {
  /** This process, of which the supervisor is the parent. */
  readonly port: Port;
  readonly log: Log;
  readonly version: string;
  readonly env: NodeJS.ProcessEnv;
  readonly exit: (code: number) => void;
}

/** A worker that waits for its supervisor, or serves. */
export interface Worker {
  /** Ends what is in flight and leaves, since somebody else than the supervisor said so. */
  retire(): Promise<void>;
}

/** Answers the supervisor until it says stop, or is gone: then what is in flight ends, and the process with it. */
export function runWorker(options: WorkerOptions): Worker {
  const { exit, log, port } = options;
  const channel: ToSupervisor = createChannel<SupervisorCalls, WorkerCalls>(port);
  const starting = new AbortController();
  let start: ReturnType<typeof startWorker> | undefined;
  let stopped = false;

  channel.answer('start', async (order) => {
    start = startWorker(order, channel, { ...options, signal: starting.signal });
    return { hash: (await start).hash };
  });
  channel.answer('ping', () => undefined);

  /** Answers come before the exit. */
  async function stop(how: 'drain' | 'close'): Promise<undefined> {
    stopped = true;
    starting.abort(new Error('told to stop'));
    // A start that failed has closed everything.
    const gateway = (await start?.catch(() => undefined))?.gateway;
    try {
      await gateway?.[how]();
      if (gateway !== undefined) await leave(gateway);
    } catch (cause) {
      log.error({ err: cause }, 'the worker did not stop cleanly');
    }
    setImmediate(() => exit(0));
    return undefined;
  }
  async function leave({ source }: Gateway): Promise<void> {
    await channel.ask('leave', await source.metricValues()).catch(() => undefined);
  }
  channel.answer('drain', () => stop('drain'));
  channel.answer('close', () => stop('close'));
  port.once('disconnect', () => {
    if (stopped) return exit(0);
    log.error('the supervisor is gone; the worker ends when its requests have ended');
    void stop('drain');
  });
  return {
    async retire() {
      await channel.ask('retire', undefined).catch(() => undefined);
      if (stopped) return;
      log.info('the worker was told to end by itself; draining');
      await stop('drain');
    },
  };
}

interface StartOptions extends WorkerOptions {
  /** Ends the start. */
  readonly signal: AbortSignal;
}

/** With the files of its slot, or of the first free one behind where another generation has those. */
function startWorker(start: WorkerStart, channel: ToSupervisor, options: StartOptions) {
  const membership = openMembership(start.slot, start.rootKey, channel);
  const startWith = (slot = start.slot) => startInSlot(slot, start, membership, channel, options);
  return start.isGeneration ? startInFreeSlot(start.slot, startWith) : startWith();
}

async function startInSlot(
  slot: Slot,
  { address, configFile, instance, isGeneration, reading }: WorkerStart,
  membership: Membership,
  channel: ToSupervisor,
  { env, log, signal, version }: StartOptions,
): Promise<{ gateway: Gateway; hash: string }> {
  const load = async (from: FilesRead, options?: ReloadOptions) => {
    const loaded = await loadConfig(configFile, { env, readFile: replayReading(from), ...options });
    await membership.fetchKeys(loaded.config);
    return withSlot(loaded, slot);
  };
  const loaded = await load(reading);
  const gateway = await startGateway({
    loaded,
    log,
    version,
    signal,
    instance,
    mustHold: isGeneration,
    stdout: outputTo(channel),
    siblings: membership.siblings,
    state: membership.state,
    connections: { address, begin: (server) => takeConnections(server, channel) },
  });
  membership.answer(gateway);
  let prepared: PreparedReload | undefined;
  channel.answer('prepare', async (next) => {
    prepared = await gateway.reloader.prepare((options) => load(next, options));
    return { hash: prepared.hash };
  });
  channel.answer('commit', async () => void (await prepared?.commit()));
  channel.answer('dispose', async () => void (await prepared?.dispose()));
  channel.answer('refuse', async ({ problem, isTold }) => void (await gateway.reloader.refuse(problem, isTold)));
  channel.answer('record', async (detail) => void (await gateway.record(detail)));
  channel.answer('readiness', gateway.source.readiness);
  channel.answer('status', gateway.source.status);
  channel.answer('keySet', gateway.source.keySet);
  channel.answer('metrics', gateway.source.metricValues);
  channel.answer('console', answerConsole(gateway.parts));
  return { gateway, hash: loaded.hash };
}

/** Brings the connections of the supervisor to a server that does not listen. */
function takeConnections(server: Server, channel: ToSupervisor): void {
  // Node makes the table of connections, which its timeouts go by, when a server begins to listen.
  server.emit('listening');
  channel.answer('connection', (id, handle) => {
    const socket = handle as Socket | undefined;
    // The client may have left meanwhile.
    if (socket === undefined) return void channel.tell('closed', id);
    // As on sockets that the server accepts itself: a client may close its side first.
    socket.allowHalfOpen = true;
    socket.setNoDelay(true);
    socket.on('close', () => channel.tell('closed', id));
    server.emit('connection', socket);
    return undefined;
  });
}

/** Standard output is the supervisor's, so that lines of two workers never mix. */
function outputTo(channel: ToSupervisor): LineOutput {
  return {
    prepare: () => channel.ask('stdoutHead', undefined, { timeoutMs: Number.POSITIVE_INFINITY }),
    write: (chained) => channel.ask('stdout', chained, { timeoutMs: Number.POSITIVE_INFINITY }),
    close() {},
  };
}
