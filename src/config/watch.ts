// File watch by polling, which also sees symlink swaps and network file systems. A change counts once its file has been still for a while.
import { type Stamps, stampOf } from './files/files.ts';

const defaultIntervalMs = 500;

/** Options of `watchFiles`. */
export interface WatchOptions {
  /** Time without a change after which `onChange` is called. */
  readonly quietMs: number;
  /** Milliseconds between two looks; default 500. 0: only when `poll` is called. */
  readonly intervalMs?: number;
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number;
}

/** A running watch. */
export interface FileWatch {
  /** Watches these files from now on, and no others. One that has another stamp than the one given has changed. */
  follow(stamps: Stamps): void;
  /** Looks once; what it finds counts from now. Polls never overlap. */
  poll(): Promise<void>;
  close(): void;
}

/**
 * Calls `onChange` once after each burst of changes: contents, renames over a file, removal, re-creation, and swaps of a symlink anywhere in
 * its path (Kubernetes' `..data`). The stamps are those from before the files were read, so that no change is missed.
 */
export function watchFiles(stamps: Stamps, onChange: () => void, options: WatchOptions): FileWatch {
  const now = options.now ?? performance.now.bind(performance);
  const intervalMs = options.intervalMs ?? defaultIntervalMs;
  let known = stamps;
  let changedAt: number | undefined;
  let running: Promise<void> | undefined;
  let closed = false;

  const look = async (): Promise<void> => {
    const before = known;
    const found = new Map<string, string>();
    for (const path of before.keys()) found.set(path, await stampOf(path));
    if (closed || before !== known) return;
    known = found;
    if ([...found].some(([path, stamp]) => before.get(path) !== stamp)) changedAt = now();
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
  return {
    follow(next) {
      known = new Map(next);
      changedAt = undefined;
    },
    poll,
    close() {
      closed = true;
      clearInterval(timer);
    },
  };
}
