// `portcullis serve` as a process of its own, from the sources.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { Test } from 'tap';
import { until } from './until.ts';

const main = resolve(import.meta.dirname, '../../src/main.ts');

export interface ServeProcess {
  readonly child: ChildProcess;
  /** Of the configuration and the files that it names. */
  readonly directory: string;
  /** The lines on stderr so far. */
  readonly lines: readonly string[];
  /** The exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
  /** Waits for a line that holds the text. */
  says(text: string): Promise<string>;
  /** Waits until it listens. */
  listening(): Promise<{ readonly port: number; readonly adminPort: number }>;
  file(name: string): string;
}

export interface ServeProcessOptions {
  readonly yaml: string;
  /** Files beside it, by name. */
  readonly files?: Readonly<Record<string, string>>;
  /** Stands before the command, such as `prlimit --nofile=64`. */
  readonly wrapper?: readonly string[];
  readonly stdout?: 'ignore' | 'pipe' | number;
  /** A listening socket that it inherits for its public listener, as from systemd. */
  readonly socket?: number;
  /** Laid over its environment. */
  readonly env?: NodeJS.ProcessEnv;
}

/** Starts it, and kills it with the test where it has not ended by then. */
export async function spawnServe(t: Test, options: ServeProcessOptions): Promise<ServeProcess> {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-test-'));
  const file = (name: string) => join(directory, name);
  for (const [name, content] of Object.entries({ ...options.files, 'gateway.yaml': options.yaml })) {
    await mkdir(dirname(file(name)), { recursive: true });
    await writeFile(file(name), content);
  }
  // The shell becomes the gateway, so that its number is the gateway's.
  const inheriting = options.socket === undefined ? [] : ['sh', '-c', 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$@"'];
  const command = [
    ...inheriting,
    ...(options.wrapper ?? []),
    process.execPath,
    main,
    'serve',
    '-c',
    file('gateway.yaml'),
  ];
  const child = spawn(command[0]!, command.slice(1), {
    stdio: ['ignore', options.stdout ?? 'ignore', 'pipe', ...(options.socket === undefined ? [] : [options.socket])],
    env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE, ...options.env },
  });
  const lines: string[] = [];
  createInterface({ input: child.stderr! }).on('line', (line) => lines.push(line));
  const ended = once(child, 'close').then(([code, signal]) => code ?? signal);
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
    await rm(directory, { recursive: true });
  });
  const says = async (text: string): Promise<string> => {
    const found = () => lines.find((line) => line.includes(text));
    await until(() => found() !== undefined || child.exitCode !== null, `it says ${text}`);
    return found() ?? Promise.reject(new Error(`it ended without saying ${text}: ${lines.join('\n')}`));
  };
  return {
    child,
    directory,
    lines,
    ended,
    says,
    listening: async () => JSON.parse(await says('portcullis is listening')),
    file,
  };
}

/** Waits until the process has taken the signals over from the system, SIGHUP first (bit 0 of the mask; Linux only). Node catches SIGTERM by itself. */
export async function untilItCatchesSignals({ child }: ServeProcess): Promise<void> {
  await until(async () => {
    const status = await readFile(`/proc/${child.pid}/status`, 'utf8');
    return (BigInt(`0x${/^SigCgt:\s*([0-9a-f]+)/m.exec(status)?.[1]}`) & 1n) !== 0n;
  }, 'it catches signals');
}
