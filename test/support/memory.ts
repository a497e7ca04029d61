// Memory that is really held: the heap and what lies outside it, after a full collection.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes that this process holds. */
export async function heldBytes(): Promise<number> {
  let held = Number.POSITIVE_INFINITY;
  // Some memory is let go by callbacks of one collection, and freed by the next.
  for (let round = 0; round < 20; round += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    collect();
    const { heapUsed, external } = process.memoryUsage();
    if (round >= 4 && heapUsed + external > held - 4096) break;
    held = Math.min(held, heapUsed + external);
  }
  return held;
}
