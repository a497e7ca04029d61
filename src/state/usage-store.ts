// Store of what callers have used of their limits, in memory and bounded: a bucket in use is never forgotten, nor passed by.
import type { KeyOrigin } from './shared-state.ts';

/** The used part of one bucket. */
export interface Usage {
  /** Calls. */
  used: number;
  /** When that was so; milliseconds since 1970, as below. */
  at: number;
  /** When it is whole again, and need not be held. */
  until: number;
  /** The holder's part of the room that it takes; that of a shared one is its own name. */
  readonly share: string;
  /** It is that of all keys for which there was no room. */
  readonly isShared: boolean;
}

/** The store. */
export interface UsageStore {
  /**
   * The usage of a key of a limit. Without room a holder's further keys of the limit share one bucket, and in a full store all new keys of the limit
   * share one: whoever has a bucket keeps it. A new bucket goes on with what a shared one that may have counted its key has used. Undefined where a
   * holder has no room for a key that others have too: theirs would not know of its shared bucket.
   */
  of(limit: string, key: string, holder: string, origin: KeyOrigin): Usage | undefined;
}

/** Bounds of the store. */
export interface UsageBounds {
  /** Made up by callers; and as many of others. */
  readonly keys: number;
  /** Of those that one holder makes up, for each limit; callers whom nobody has verified have half of all keys together. */
  readonly keysPerHolder: number;
}

/** Between two looks for what can be forgotten, in a full store. */
const sweepMs = 1000;
const spareKeys = 1024;

/** The holder of the keys of all callers whom nobody has verified. */
export const unverified = '';

/** Creates an empty store. `now` is in milliseconds since 1970. */
export function createUsageStore({ keys, keysPerHolder }: UsageBounds, now: () => number): UsageStore {
  const given = createRoom(keys, now);
  const madeUp = createRoom(keys, now);
  return {
    of(limit, key, holder, origin) {
      const own = `${limit}\n${key}`;
      const room = origin === 'given' ? given : madeUp;
      const known = room.find(own);
      if (known !== undefined) return known;
      const ofAll = `${limit}\n\n\n`;
      if (origin === 'given') return room.add(own, '', keys, room.inUse(ofAll)) ?? room.share(ofAll);
      const ofHolder = `${limit}\n\n${holder}`;
      const [share, max] = holder === unverified ? [unverified, keys / 2] : [ofHolder, keysPerHolder];
      const sharedByAll = room.inUse(ofAll);
      const sharedByHolder = origin === 'holder' ? room.inUse(ofHolder) : undefined;
      const added = room.add(own, share, max, sharedByHolder ?? sharedByAll) ?? sharedByHolder;
      if (added !== undefined) return added;
      if (room.isFull() && (origin === 'common' || holder !== unverified)) return room.share(ofAll);
      return origin === 'common' ? undefined : room.share(ofHolder, sharedByAll);
    },
  };
}

/** The usage that a new bucket goes on with: nothing where it is undefined. */
type Before = Pick<Usage, 'used' | 'at' | 'until'> | undefined;

interface Room {
  find(key: string): Usage | undefined;
  /** A shared bucket that is not whole yet. */
  inUse(shared: string): Usage | undefined;
  /** Undefined where there is no room, in all or in the share. */
  add(key: string, share: string, max: number, before: Before): Usage | undefined;
  /** A shared bucket: the one in use, or a new one. */
  share(shared: string, before?: Before): Usage;
  isFull(): boolean;
}

function createRoom(keys: number, now: () => number): Room {
  const usages = new Map<string, Usage>();
  const held = new Map<string, number>();
  let forgetAt = spareKeys;
  let sweptMs = 0;

  function forget(): void {
    sweptMs = now();
    for (const [key, { share, until }] of usages) {
      if (until > sweptMs) continue;
      usages.delete(key);
      const left = (held.get(share) ?? 1) - 1;
      if (left === 0) held.delete(share);
      else held.set(share, left);
    }
    forgetAt = Math.min(keys, 2 * usages.size + spareKeys);
  }

  function inUse(shared: string): Usage | undefined {
    const usage = usages.get(shared);
    return usage !== undefined && usage.until > now() ? usage : undefined;
  }

  /** Replaces one of the same key. */
  function create(key: string, share: string, isShared: boolean, before: Before): Usage {
    const { at, until, used } = before ?? { used: 0, at: now(), until: 0 };
    const usage = { used, at, until, share, isShared };
    if (!usages.has(key)) held.set(share, (held.get(share) ?? 0) + 1);
    usages.set(key, usage);
    return usage;
  }

  return {
    find: (key) => usages.get(key),
    inUse,
    add(key, share, max, before) {
      const hasRoom = () => usages.size < keys && (held.get(share) ?? 0) < max;
      const isDue = usages.size >= forgetAt && usages.size < keys;
      // A clock that was set back delays no look.
      if (isDue || (!hasRoom() && Math.abs(now() - sweptMs) >= sweepMs)) forget();
      return hasRoom() ? create(key, share, false, before) : undefined;
    },
    share: (shared, before) => inUse(shared) ?? create(shared, shared, true, before),
    isFull: () => usages.size >= keys,
  };
}
