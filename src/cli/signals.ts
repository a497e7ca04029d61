// Signals to the process: caught from its first moment, and kept until somebody listens.

export type Signal = 'SIGHUP' | 'SIGINT' | 'SIGTERM';

/** Signals of the process. */
export interface Signals {
  /** Hands over what has come, in its order, and what comes. */
  listen(handle: (signal: Signal) => void): void;
}

/** Takes the signals over from the system, which would end the process, or as process 1 drop them. */
export function catchSignals(): Signals {
  let early: Signal[] = [];
  let handle = (signal: Signal): void => {
    early.push(signal);
  };
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.on(signal, () => handle(signal));
  return {
    listen(next) {
      handle = next;
      for (const signal of early) next(signal);
      early = [];
    },
  };
}
