// A client as a process of its own, while servers and gateway live in this one.
import { spawn } from 'node:child_process';
import { once } from 'node:events';

export interface ChildResult {
  readonly code: number | null;
  /** What it wrote, both streams. */
  readonly output: string;
}

const deadlineMs = 120_000;

/** Rejects when it cannot be started; `code` is null when it had to be ended. */
export async function runChild(
  command: string,
  args: readonly string[],
  options: { readonly input?: string; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<ChildResult> {
  const child = spawn(command, args, { env: { ...process.env, ...options.env }, timeout: deadlineMs });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  }
  child.stdin.end(options.input);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output };
}
