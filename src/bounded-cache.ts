// LRU cache that is bounded by entries and bytes, and takes memory as it fills.
import { LRUCache } from 'lru-cache';

/** Bounds of the cache. */
export interface CacheLimits<V> {
  readonly entries: number;
  /** Undefined: only the number is bounded. */
  readonly size?: { readonly bytes: number; readonly of: (value: V, key: string) => number };
  /** Told each value that leaves the cache. */
  readonly dispose?: (value: V, key: string) => void;
}

/**
 * Creates an empty cache. The library allocates all places of a bounded number (`max`) at once, so the number is bounded by the sizes: an entry counts for
 * at least its share of the bytes.
 */
export function createBoundedCache<V extends object | true>(limits: CacheLimits<V>): LRUCache<string, V> {
  const { entries, size, dispose } = limits;
  const share = size === undefined ? 1 : Math.floor(size.bytes / entries);
  return new LRUCache<string, V>({
    maxSize: share * entries,
    sizeCalculation: size === undefined ? () => 1 : (value, key) => Math.max(share, size.of(value, key)),
    ...(dispose && { dispose }),
  });
}
