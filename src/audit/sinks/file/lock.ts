// Lock file beside an audit file: it names the process that writes, and is void when that process has ended.
import { type FileHandle, open, readFile, readlink, stat, unlink, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { codeOf, ignoreMissing } from './errno.ts';

/** A held lock. */
export interface FileLock {
  release(): Promise<void>;
}

/** Another process writes there. */
export class PathHeldError extends Error {}

/** True where that is the reason of an error. */
export function isPathHeld(error: unknown): boolean {
  return error instanceof PathHeldError || (error instanceof Error && isPathHeld(error.cause));
}

const heartbeatMs = 1000;

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** Boot and pid namespace: where `pid` means something. Empty where the system does not tell. */
  readonly space: string;
  /** When the process started, in the system's own ticks, so that a pid used again is not taken for it. */
  readonly started: string;
}

/** Options of `acquireLock`. */
export interface LockOptions {
  readonly watchMs?: number;
  readonly signal?: AbortSignal | undefined;
  /** The file system of processes, which may hide those of others. */
  readonly proc?: string;
}

/**
 * Takes `<path>.lock`. A holder in our pid namespace is asked for by its pid and start; for any other (another container on
 * the same volume), and one that the system hides, the lock file must not change for `watchMs`. Throws a PathHeldError that names the holder while
 * it lives, and an error when `signal` is aborted meanwhile.
 */
export async function acquireLock(
  path: string,
  { watchMs = 3000, signal, proc = '/proc' }: LockOptions = {},
): Promise<FileLock> {
  const lockPath = `${path}.lock`;
  const self = await identify(process.pid, proc);
  const content = JSON.stringify(self);
  for (let tries = 0; !(await create(lockPath, content)); tries += 1) {
    const holder = await readHolder(lockPath);
    if (tries > 2 || (await lives(holder, self, proc, () => changes(lockPath, watchMs, signal)))) {
      const who = holder === undefined ? 'another process' : `process ${holder.pid} on ${holder.host}`;
      throw new PathHeldError(`${path} is being written by ${who} (${lockPath}); each process needs a file of its own`);
    }
    await unlink(lockPath).catch(ignoreMissing);
  }
  const heartbeat = setInterval(() => {
    const now = new Date();
    // When the lock file has been removed, it is put back.
    utimes(lockPath, now, now)
      .catch(() => create(lockPath, content))
      .catch(() => {});
  }, heartbeatMs);
  heartbeat.unref();
  return {
    async release() {
      clearInterval(heartbeat);
      await unlink(lockPath).catch(ignoreMissing);
    },
  };
}

/** False where the file is there already. One that cannot be written whole is not left behind. */
async function create(lockPath: string, content: string): Promise<boolean> {
  let handle: FileHandle;
  try {
    handle = await open(lockPath, 'wx', 0o600);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
  try {
    await handle.writeFile(content);
    return true;
  } catch (error) {
    await unlink(lockPath).catch(ignoreMissing);
    throw error;
  } finally {
    await handle.close();
  }
}

async function lives(
  holder: Holder | undefined,
  self: Holder,
  proc: string,
  beats: () => Promise<boolean>,
): Promise<boolean> {
  if (holder === undefined || holder.host !== self.host || holder.space !== self.space) return beats();
  if (!isRunning(holder.pid)) return false;
  const { started } = await identify(holder.pid, proc);
  // Hidden, as from a service with `ProtectProc=` and a user namespace of its own.
  if (started === '' && holder.started !== '') return beats();
  return started === holder.started;
}

async function changes(lockPath: string, watchMs: number, signal: AbortSignal | undefined): Promise<boolean> {
  const before = await modified(lockPath);
  await delay(watchMs, undefined, { ...(signal && { signal }) });
  return (await modified(lockPath)) !== before;
}

async function identify(pid: number, proc: string): Promise<Holder> {
  const boot = await read(`${proc}/sys/kernel/random/boot_id`);
  const namespace = await readlink(`${proc}/self/ns/pid`).catch(() => '');
  const status = await read(`${proc}/${pid}/stat`);
  // Fields 3 and 22, counted behind the command, which stands in parentheses and may itself hold spaces and parentheses.
  const fields = status.slice(status.lastIndexOf(')') + 2).split(' ');
  const dead = fields[0] === 'Z' || fields[0] === 'X';
  const started = dead ? 'dead' : (fields[19] ?? '');
  return { pid, host: hostname(), space: `${boot.trim()} ${namespace}`, started };
}

async function readHolder(lockPath: string): Promise<Holder | undefined> {
  try {
    const { pid, host, space, started } = JSON.parse(await read(lockPath));
    return typeof pid === 'number'
      ? { pid, host: String(host), space: String(space), started: String(started) }
      : undefined;
  } catch {
    return undefined;
  }
}

async function modified(lockPath: string): Promise<bigint | undefined> {
  return (await stat(lockPath, { bigint: true }).catch(() => undefined))?.mtimeNs;
}

async function read(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}
