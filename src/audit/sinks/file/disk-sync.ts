// Disk sync (fdatasync) of an audit file by the `fsync` key: with each write, in the background about once a second, or never.
import type { AppendFile } from './append-file.ts';

/** The `fsync` key of the sink. */
export type SyncMode = 'always' | 'interval' | 'never';

/** Forces written records to the disk. */
export interface DiskSync {
  /** Follows each write. Rejects when what was written has to be on the disk and is not. */
  written(file: AppendFile): Promise<void>;
  /** Starts a sync that is due; throws the failure of an earlier one. */
  tick(file: AppendFile | undefined): void;
  /** Resolves once what was written before is on the disk, unless the mode is `never`. Throws when it is not. */
  flush(file: () => AppendFile | undefined): Promise<void>;
  /** Begins to sync and close a file that is no longer written. */
  finish(file: AppendFile): Promise<void>;
  /** Resolves when no sync is running. */
  idle(): Promise<void>;
}

/** Creates it. `mode` is asked at each call. */
export function createDiskSync(mode: () => SyncMode): DiskSync {
  let unsynced = false;
  let running: Promise<void> | undefined;
  let failure: { readonly error: unknown } | undefined;
  /** After a failed sync the next write is only good when a sync of it is. */
  let owed = false;

  async function sync(file: AppendFile): Promise<void> {
    try {
      if (mode() !== 'never') await file.sync();
    } catch (error) {
      failure = { error };
      owed = true;
    }
  }

  function start(task: Promise<void>): void {
    running = task.finally(() => {
      running = undefined;
    });
  }

  async function idle(): Promise<void> {
    while (running !== undefined) await running;
  }

  return {
    async written(file) {
      unsynced = mode() !== 'always';
      if (unsynced && !owed) return;
      await file.sync();
      owed = false;
      failure = undefined;
    },
    tick(file) {
      if (failure !== undefined) {
        const { error } = failure;
        failure = undefined;
        throw error;
      }
      if (mode() !== 'interval' || !unsynced || running !== undefined || file === undefined) return;
      unsynced = false;
      start(sync(file));
    },
    async flush(current) {
      await idle();
      const file = current();
      if (file !== undefined) start(sync(file));
      await idle();
      if (owed) throw new Error('the records are not on the disk', { cause: failure?.error });
    },
    async finish(file) {
      await idle();
      start(sync(file).then(() => file.close().catch(() => {})));
    },
    idle,
  };
}
