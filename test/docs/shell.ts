// Shell of a page: its blocks run in order in one bash, with the commands of this repository in front of those of the machine.
import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface ShellResult {
  readonly code: number | null;
  readonly stderr: string;
  /** What each block printed, by its number; those that did not run are missing. */
  readonly outputs: readonly string[];
}

const root = join(import.meta.dirname, '../..');
const mark = '::block::';

/** `serve` is started behind its caller, which goes on once the gateway is ready. All else is the program as it is. */
const portcullis = `#!/usr/bin/env bash
if [ "$1" = serve ]; then
  "$NODE" "$ROOT/src/main.ts" "$@" > serve.log 2>&1 &
  echo $! > serve.pid
  for attempt in $(seq 1 1200); do
    kill -0 $! 2>/dev/null || { cat serve.log >&2; exit 1; }
    curl -sf -o /dev/null "http://$ADMIN/readyz" && exit 0
    sleep 0.1
  done
  cat serve.log >&2
  exit 1
fi
exec "$NODE" "$ROOT/src/main.ts" "$@"
`;

/** `npx portcullis`, also with options in front; nothing is fetched. */
const npx = `#!/usr/bin/env bash
while [ "$1" != portcullis ]; do shift; done
exec "$@"
`;

/** The program runs from its source here; `npm run build` is a step of its own of .ci/run. */
const npm = `#!/usr/bin/env bash
[ "$*" = 'run build' ]
`;

/** Takes a secret whose files are there, and has no cluster. */
const kubectl = `#!/usr/bin/env bash
for word in "$@"; do
  case $word in --from-file=*) test -s "\${word#--from-file=}" || exit 1 ;; esac
done
[ "$1 $2 $3 $4" = '-n portcullis create secret' ]
`;

/** Runs scripts in a folder, one behind the other; a failed one is the last. */
export async function runShell(
  folder: string,
  scripts: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<ShellResult> {
  const bin = join(folder, '.bin');
  mkdirSync(bin, { recursive: true });
  for (const [name, text] of Object.entries({ portcullis, npx, npm, kubectl })) {
    writeFileSync(join(bin, name), text);
    chmodSync(join(bin, name), 0o755);
  }
  const script = scripts.map((text, index) => `echo "${mark}${index}"\n${text}`).join('\n');
  writeFileSync(join(bin, 'page.sh'), `set -euo pipefail\n${script}\n`);
  const child = spawn('bash', [join(bin, 'page.sh')], {
    cwd: folder,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: `${bin}:${process.env.PATH}`,
      HOME: folder,
      CURL_HOME: folder,
      NODE: process.execPath,
      ROOT: root,
      ...env,
    },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => (stdout += chunk));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', resolve);
  });
  // What the page left running.
  try {
    process.kill(-child.pid!, 'SIGKILL');
  } catch {
    // Nothing is left.
  }
  const outputs = stdout.split(new RegExp(`^${mark}\\d+\n`, 'm')).slice(1);
  return { code, stderr, outputs };
}

/** A script in which the lines that begin so have to end with 1: the answer is no. */
export function expectingNo(script: string, lines: readonly string[]): string {
  return script
    .split('\n')
    .map((line) =>
      lines.some((each) => line.startsWith(each)) ? `if { ${line}\n}; then exit 99; else [ $? = 1 ]; fi` : line,
    )
    .join('\n');
}

/** Whether the output has the shown lines in their order. `…` stands for anything; figures, times and hashes are those of another run. */
export function shows(output: string, shown: string): boolean {
  const pattern = shown
    .trimEnd()
    .split('\n')
    .map((line) =>
      line === '…'
        ? '[\\s\\S]*?'
        : line
            .split('…')
            .map((part) => escaped(part).replace(/\d{4}-\d\d-\d\dT[\d:\\.]+Z|[\w-]{43}\b|\d+/g, '\\S+?'))
            .join('.*'),
    )
    .join('\n');
  return new RegExp(`^${pattern}$`, 'm').test(output);
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
