// Counts by key, such as a caller's share of a limit.

/** Counts of one key. They are at rest when all are 0. */
type Counts = Record<string, number>;

/** Counts by key. */
export interface KeyedCounts<C extends Counts> {
  /** The counts of a key, to be changed in place: the same object for as long as they are not at rest. */
  readonly of: (key: string) => C;
  /** Number of keys that are held. */
  readonly size: () => number;
}

/** Keys at rest that are held besides those in use. */
const spareKeys = 1024;

/** Creates counts that are `initial` at first. Keys at rest are not forgotten one by one: most come back, and a Map whose members come and go costs dearly. */
export function createKeyedCounts<C extends Counts>(initial: () => C): KeyedCounts<C> {
  const counts = new Map<string, C>();
  let forgetAt = spareKeys;
  const forget = (): void => {
    for (const [key, of] of counts) if (isAtRest(of)) counts.delete(key);
    forgetAt = 2 * counts.size + spareKeys;
  };
  return {
    of(key) {
      let own = counts.get(key);
      if (own === undefined) {
        if (counts.size >= forgetAt) forget();
        own = initial();
        counts.set(key, own);
      }
      return own;
    },
    size: () => counts.size,
  };
}

function isAtRest(counts: Counts): boolean {
  for (const name in counts) if (counts[name] !== 0) return false;
  return true;
}
