// Servers as processes of their own: started until they answer, and every one of them ended with its children, whatever happens.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, readFileSync } from 'node:fs';

export interface Daemon {
  /** Everything it wrote so far. */
  log(): string;
  readonly exited: boolean;
  readonly exitCode: number | null;
  /** SIGTERM, and SIGKILL when that does not help. */
  stop(): Promise<void>;
}

export interface DaemonOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly logFile: string;
  /** Asked until it says yes. Without it nobody waits. */
  readonly ready?: () => Promise<boolean>;
  /** That it ends by itself is an answer too. */
  readonly mayEnd?: boolean;
}

export interface Daemons {
  /** Throws an Error with the end of its log when it ends, or is not ready in time. */
  start(options: DaemonOptions): Promise<Daemon>;
  /** Nothing can be started any more. */
  stopAll(): Promise<void>;
  /** For a process that ends at once. */
  killAll(): void;
}

const startMs = 400_000;
const graceMs = 5000;

export function createDaemons(): Daemons {
  const running = new Set<ChildProcess>();
  let over = false;
  async function stop(child: ChildProcess): Promise<void> {
    if (!running.has(child)) return;
    const gone = once(child, 'exit');
    signal(child, 'SIGTERM');
    const timer = setTimeout(() => signal(child, 'SIGKILL'), graceMs);
    await gone;
    clearTimeout(timer);
    signal(child, 'SIGKILL');
  }
  return {
    async start({ name, command, args, env, logFile, ready, mayEnd = false }) {
      if (over) throw new Error(`${name} is not started: everything is being stopped`);
      const out = openSync(logFile, 'a');
      const child = spawn(command, args, { env, detached: true, stdio: ['ignore', out, out] });
      running.add(child);
      child.once('exit', () => running.delete(child));
      child.once('error', () => running.delete(child));
      const daemon: Daemon = {
        log: () => readFileSync(logFile, 'utf8'),
        get exited() {
          return !running.has(child);
        },
        get exitCode() {
          return child.exitCode;
        },
        stop: () => stop(child),
      };
      const deadline = Date.now() + startMs;
      while (ready !== undefined && !(mayEnd && daemon.exited) && !(await ready().catch(() => false))) {
        if (daemon.exited || Date.now() > deadline) {
          await daemon.stop();
          throw new Error(`${name} did not start\n${daemon.log().slice(-4000)}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
      return daemon;
    },
    async stopAll() {
      over = true;
      await Promise.all([...running].map(stop));
    },
    killAll() {
      over = true;
      for (const child of running) signal(child, 'SIGKILL');
    },
  };
}

/** To the whole process group. */
function signal({ pid }: ChildProcess, name: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, name);
  } catch {
    // Nobody is left.
  }
}
