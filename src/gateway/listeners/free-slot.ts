// Free slot: a generation of the gateway that starts while another one drains has audit files, state files and spools of its own.
import { isPathHeld } from '../../audit/sinks/file/lock.ts';
import type { Slot } from '../../config/slot.ts';

/** Generations that may write at the same time. */
const maxGenerations = 8;

/**
 * Calls `start` with the first slot whose files no other process writes; undefined are those that the configuration names. With `of` processes each
 * generation has as many slots. Throws what `start` throws for another reason.
 */
export async function startInFreeSlot<T>(
  first: Slot | undefined,
  start: (slot: Slot | undefined) => Promise<T>,
): Promise<T> {
  const { number, of } = first ?? { number: 1, of: 1 };
  let slot = first;
  for (let generation = 1; ; generation += 1) {
    try {
      return await start(slot);
    } catch (error) {
      if (generation === maxGenerations || !isPathHeld(error)) throw error;
    }
    slot = { number: number + generation * of, of };
  }
}
