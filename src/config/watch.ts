// Notices that a named file has changed and been still for a while: by polling, which also sees symlink swaps and network file systems.
import { realpath, stat } from 'node:fs/promises';

const defaultIntervalMs = 500;

export interface WatchOptions {
  /** How long nothing may have changed before `onChange` is called. */
  readonly quietMs: number;
  /** Milliseconds between two looks; default 500. 0: only when `poll` is called. */
  readonly intervalMs?: number;
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number;
}

export interface FileWatch {
  /** Looks once; what it finds counts from now. Polls never overlap. */
  poll(): Promise<void>;
  close(): void;
}

/**
 * Calls `onChange` once after each burst of changes: contents, renames over a file, removal, re-creation, and swaps of a symlink anywhere in
 * its path (Kubernetes' `..data`). `paths` is asked anew each time; a path that it names for the first time is only remembered.
 */
export function watchFiles(paths: () => Iterable<string>, onChange: () => void, options: WatchOptions): FileWatch {
  const now = options.now ?? performance.now.bind(performance);
  const intervalMs = options.intervalMs ?? defaultIntervalMs;
  let known = new Map<string, string>();
  let changedAt: number | undefined;
  let running: Promise<void> | undefined;
  let closed = false;

  const look = async (): Promise<void> => {
    const stamps = new Map<string, string>();
    for (const path of new Set(paths())) stamps.set(path, await stampOf(path));
    if (closed) return;
    const changed = [...stamps].some(([path, stamp]) => known.has(path) && known.get(path) !== stamp);
    known = stamps;
    if (changed) changedAt = now();
    if (changedAt === undefined || now() - changedAt < options.quietMs) return;
    changedAt = undefined;
    onChange();
  };
  const poll = (): Promise<void> => {
    running ??= look().finally(() => {
      running = undefined;
    });
    return running;
  };
  const timer = intervalMs > 0 ? setInterval(poll, intervalMs).unref() : undefined;
  void poll();
  return {
    poll,
    close() {
      closed = true;
      clearInterval(timer);
    },
  };
}

/** What differs whenever the file behind a path is another one or was written to. A file that cannot be seen has a stamp as well. */
export async function stampOf(path: string): Promise<string> {
  try {
    const target = await realpath(path);
    const { dev, ino, size, mtimeNs } = await stat(target, { bigint: true });
    return `${target} ${dev} ${ino} ${size} ${mtimeNs}`;
  } catch (error) {
    return `unreadable: ${(error as NodeJS.ErrnoException).code}`;
  }
}
