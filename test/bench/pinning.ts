// Pinning of processes to processors: the one that is measured has one to itself, so that neither the load nor the scheduler moves into its caches.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';

export interface Pinning {
  /** Starts a command on the processor of what is measured, or beside it. The output is dropped where `onOutput` is not given. */
  start(
    command: readonly string[],
    env: NodeJS.ProcessEnv,
    place: 'measured' | 'beside',
    onOutput?: (text: string) => void,
  ): ChildProcess;
  /** For the report. */
  readonly described: string;
}

/** Where there are two processors and util-linux's `taskset`; else, or unless `wanted`, everything runs anywhere. Moves this process too. */
export function createPinning(wanted: boolean): Pinning {
  const possible = wanted && availableParallelism() > 1 && spawnSync('taskset', ['-V']).status === 0;
  if (possible) spawnSync('taskset', ['-a', '-c', '-p', '1', String(process.pid)]);
  return {
    start(command, env, place, onOutput) {
      const pinned = ['taskset', '-c', place === 'measured' ? '0' : '1', ...command];
      const [program, ...args] = possible ? pinned : command;
      const child = spawn(program!, args, {
        env: { ...process.env, ...env },
        stdio: ['ignore', onOutput === undefined ? 'ignore' : 'pipe', 'inherit'],
      });
      if (onOutput !== undefined) child.stdout!.setEncoding('utf8').on('data', onOutput);
      return child;
    },
    described: possible ? 'the measured process on a processor of its own' : 'not pinned',
  };
}
