// A shell in a pseudo-terminal, driven by keys.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { until } from '../support/until.ts';

/** A shell that has begun. */
export interface Terminal {
  /** Types, waits for the end of the answer, and yields everything that the shell wrote since. Throws an Error with that when the end does not come. */
  type(keys: string, end: RegExp): Promise<string>;
  close(): Promise<void>;
}

/** Starts a shell by util-linux's `script`. Lines are wide, so that nothing is broken off. */
export async function openTerminal(shell: string, cwd: string, environment: NodeJS.ProcessEnv): Promise<Terminal> {
  const line = `stty cols 1000 rows 200 && PS1='begun> ' exec ${shell}`;
  const child = spawn('script', ['--quiet', '--return', '--command', line, '/dev/null'], {
    cwd,
    env: { ...process.env, ...environment, SHELL: '/bin/sh', TERM: 'dumb', LC_ALL: 'C.UTF-8', HISTFILE: '' },
  });
  const closed = once(child, 'close');
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (piece) => {
      text += piece;
    });
  }

  async function type(keys: string, end: RegExp): Promise<string> {
    text = '';
    child.stdin.write(keys);
    return written(end);
  }

  async function written(end: RegExp): Promise<string> {
    await until(() => end.test(text), `${shell} writes ${end}`).catch((error: Error) => {
      throw new Error(`${error.message}\n${text}`);
    });
    return text.replaceAll('\r', '');
  }

  async function close(): Promise<void> {
    child.stdin.end('exit\n');
    const bound = setTimeout(() => child.kill('SIGKILL'), 10_000);
    await closed;
    clearTimeout(bound);
  }

  try {
    await written(/begun> /);
  } catch (error) {
    await close();
    throw error;
  }
  return { type, close };
}
