// Gate that holds up the answers of a fake server until a test lets them go.

export interface Gate {
  /** Resolves when nothing is held. */
  open(): Promise<void> | undefined;
  /** Holds from now on; the returned function lets everything go. */
  hold(): () => void;
}

export function createGate(): Gate {
  let held: Promise<void> | undefined;
  return {
    open: () => held,
    hold() {
      const { promise, resolve } = Promise.withResolvers<void>();
      held = promise;
      return () => {
        held = undefined;
        resolve();
      };
    },
  };
}
