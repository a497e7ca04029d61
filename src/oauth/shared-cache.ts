// Shared cache: the least recently used entry leaves when all callers together have too many, a caller's oldest when it alone has.
import { createBoundedCache } from '../bounded-cache.ts';

/** A cache with a share for each caller. */
export interface SharedCache<V> {
  get(key: string): V | undefined;
  /** `bytes` is about what the entry takes. */
  set(caller: string, key: string, value: V, bytes: number): void;
}

/** Bounds of the cache. */
export interface SharedCacheLimits {
  readonly entries: number;
  readonly entriesPerCaller: number;
  readonly bytes: number;
}

interface Entry<V> {
  readonly caller: string;
  readonly value: V;
  readonly bytes: number;
}

/** Creates an empty cache. */
export function createSharedCache<V>({ entries, entriesPerCaller, bytes }: SharedCacheLimits): SharedCache<V> {
  /** Oldest first. */
  const keysOf = new Map<string, Set<string>>();
  const cache = createBoundedCache<Entry<V>>({
    entries,
    size: { bytes, of: (entry, key) => key.length + entry.bytes },
    dispose({ caller }, key) {
      const own = keysOf.get(caller);
      own?.delete(key);
      if (own?.size === 0) keysOf.delete(caller);
    },
  });
  return {
    get: (key) => cache.get(key)?.value,
    set(caller, key, value, size) {
      cache.delete(key);
      const [oldest] = keysOf.get(caller) ?? [];
      if (oldest !== undefined && keysOf.get(caller)!.size >= entriesPerCaller) cache.delete(oldest);
      cache.set(key, { caller, value, bytes: size });
      if (cache.has(key)) keysOf.set(caller, (keysOf.get(caller) ?? new Set()).add(key));
    },
  };
}
