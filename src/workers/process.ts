// One worker process as its supervisor sees it: its channel, its heartbeat and its end.
import { fork } from 'node:child_process';
import type { SupervisorCalls, ToWorker, WorkerCalls } from './calls.ts';
import { createChannel, type Port } from './channel.ts';
import { createHeartbeat } from './heartbeat.ts';

/** The end of a process. */
export interface WorkerEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The reason for which the supervisor killed it; undefined where it did not. */
  readonly killedFor: string | undefined;
}

/** A worker process. */
export interface WorkerProcess {
  readonly pid: number | undefined;
  readonly channel: ToWorker;
  readonly ended: Promise<WorkerEnd>;
  /** Kills it when nothing comes from it for `hangMs`. */
  watch(): void;
  kill(reason: string): void;
}

/** Options of `forkWorker`. */
export interface ForkOptions {
  /** The program and its arguments, which make the process a worker. */
  readonly program: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Default 10 s. */
  readonly hangMs?: number | undefined;
}

const beatMs = 1000;

/** Forks a worker, which waits for the call `start`. Its standard output goes nowhere. */
export function forkWorker({ program, args, env, hangMs = 10_000 }: ForkOptions): WorkerProcess {
  const child = fork(program, args, { env, serialization: 'advanced', stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const channel: ToWorker = createChannel<WorkerCalls, SupervisorCalls>(child as Port);
  const { promise: ended, resolve } = Promise.withResolvers<WorkerEnd>();
  let heartbeat: NodeJS.Timeout | undefined;
  let killedFor: string | undefined;
  const end = (code: number | null, signal: NodeJS.Signals | null): void => {
    clearInterval(heartbeat);
    channel.close();
    resolve({ code, signal, killedFor });
  };
  const kill = (reason: string): void => {
    killedFor ??= reason;
    child.kill('SIGKILL');
  };
  child.once('exit', end);
  child.on('error', (error) => {
    killedFor ??= error.message;
    if (child.pid === undefined) end(null, null);
  });

  function watch(): void {
    const { beat, heard } = createHeartbeat({
      maxMissed: hangMs / beatMs,
      ping: () => void channel.ask('ping', undefined, { timeoutMs: Number.POSITIVE_INFINITY }).catch(() => {}),
      hung: () => kill('it did not answer'),
    });
    child.on('message', heard);
    heartbeat = setInterval(beat, beatMs).unref();
  }

  return { pid: child.pid, channel, ended, watch, kill };
}
