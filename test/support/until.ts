// Waiting for a condition, within a bound.
import { setTimeout as delay } from 'node:timers/promises';

/** Looks again and again until it holds, after a long wait more seldom. Throws an Error that says `what` when it does not come about within `timeoutMs`. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  what = String(holds),
  timeoutMs = 60_000,
): Promise<void> {
  const start = performance.now();
  while (!(await holds())) {
    const waitedMs = performance.now() - start;
    if (waitedMs > timeoutMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await delay(Math.min(5 + waitedMs / 8, 100));
  }
}

/** Waits until a number has stayed the same for a while. */
export async function untilAtRest(value: () => number | Promise<number>, what: string): Promise<void> {
  let last = Number.NaN;
  let looks = 0;
  await until(async () => {
    const current = await value();
    looks = current === last ? looks + 1 : 0;
    last = current;
    return looks === 12;
  }, `${what} comes to rest`);
}
