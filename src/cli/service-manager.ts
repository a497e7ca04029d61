// Service manager of the process (sd_notify(3)). Node has no datagram sockets of Unix, so the program `systemd-notify` tells it.
import { execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Log } from '../log.ts';

/** Learns the state of the service. A message that cannot be sent is logged. */
export interface ServiceManager {
  /** Tells that the start is over once requests are served, and until then why they are not. */
  started(reasonsNotReady: () => Promise<string | undefined>, signal: AbortSignal): Promise<void>;
  /** Runs a reload, and tells its beginning and end. */
  reloading(reload: () => Promise<void>): Promise<void>;
  stopping(status: string): void;
}

const run = promisify(execFile);
const notifyTimeoutMs = 5000;
const pollMs = 250;

/** Takes `NOTIFY_SOCKET` out of `env`, so that no child speaks for the service. Without it nobody is told. */
export function createServiceManager(env: NodeJS.ProcessEnv, log: Log): ServiceManager {
  const { NOTIFY_SOCKET, PATH } = env;
  delete env.NOTIFY_SOCKET;
  if (!NOTIFY_SOCKET) return { started: async () => {}, reloading: (reload) => reload(), stopping: () => {} };
  const options = { env: { NOTIFY_SOCKET, PATH }, timeout: notifyTimeoutMs };
  let last: Promise<unknown> = Promise.resolve();
  let isReady = false;

  function notify(...assignments: readonly string[]): Promise<unknown> {
    last = last
      .then(() => run('systemd-notify', assignments, options))
      .catch((error: unknown) =>
        log.warn({ err: error }, `the service manager was not told ${assignments[0]}: is systemd-notify in PATH?`),
      );
    return last;
  }

  return {
    async started(reasonsNotReady, signal) {
      let told: string | undefined;
      while (!isReady) {
        const reasons = await reasonsNotReady();
        if (signal.aborted) return;
        isReady = reasons === undefined;
        if (reasons === undefined) await notify('READY=1', 'STATUS=ready');
        else if (reasons !== told) await notify(`STATUS=${reasons}`);
        told = reasons;
        await delay(pollMs, undefined, { signal }).catch(() => {});
      }
    },
    async reloading(reload) {
      // `Type=notify-reload` asks for the instant.
      if (isReady) void notify('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
      await reload();
      if (isReady) await notify('READY=1');
    },
    stopping(status) {
      void notify('STOPPING=1', `STATUS=${status}`);
    },
  };
}
