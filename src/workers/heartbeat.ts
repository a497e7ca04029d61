// Heartbeat of a worker, by which its supervisor tells that it hangs.

/** Options of `createHeartbeat`. */
export interface HeartbeatOptions {
  /** Beats without a message from the worker after which it hangs. */
  readonly maxMissed: number;
  /** Asks for a message. */
  readonly ping: () => void;
  readonly hung: () => void;
}

/** Counts beats, not time: a supervisor that was stopped itself finds no worker late. */
export function createHeartbeat({ hung, maxMissed, ping }: HeartbeatOptions) {
  let missed = 0;
  return {
    beat(): void {
      missed += 1;
      if (missed === 1) ping();
      else if (missed > maxMissed) hung();
    },
    /** Any message is a sign of life: the answer to a ping may wait behind connections. */
    heard(): void {
      missed = 0;
    },
  };
}
