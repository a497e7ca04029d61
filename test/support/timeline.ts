// Clock and timers for tests: a day passes as fast as what falls due in it can be done.
import type { Schedule } from '../../src/authn/token/jwks.ts';

export interface Timeline {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly schedule: Schedule;
  /**
   * Lets time pass. What falls due runs at its time and in its order, and each is waited for until it has set its next timer, as everything
   * that is repeated for ever does.
   */
  pass(ms: number): Promise<void>;
  /** How many timers have gone off. */
  readonly fired: () => number;
}

export function createTimeline(start = Date.parse('2026-11-01T00:00:00Z')): Timeline {
  const timers = new Set<{ readonly at: number; readonly run: () => void }>();
  let clock = start;
  let fired = 0;
  let onScheduled = () => {};
  return {
    now: () => clock,
    fired: () => fired,
    schedule(run, delayMs) {
      const timer = { at: clock + delayMs, run };
      timers.add(timer);
      onScheduled();
      return () => timers.delete(timer);
    },
    async pass(ms) {
      const end = clock + ms;
      for (;;) {
        const [due] = [...timers].sort((a, b) => a.at - b.at);
        if (due === undefined || due.at > end) break;
        timers.delete(due);
        clock = Math.max(clock, due.at);
        fired += 1;
        const again = new Promise<void>((resolve) => {
          onScheduled = resolve;
        });
        due.run();
        await again;
      }
      clock = end;
    },
  };
}
