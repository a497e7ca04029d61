// Verified tokens of one configuration snapshot: a hash and a look-up instead of a signature, until they expire.
import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Verified } from './authenticator.ts';
import type { KeySet } from './key-set.ts';

export interface TokenCache {
  /** The verification of a token for a resource, if its keys are still those of the issuer and it has not expired. */
  get(token: string, resource: string, nowMs: number): Verified | undefined;
  /** Remembers a token that was verified with the keys of `generation`. A token that does not expire is not remembered. */
  set(token: string, resource: string, verified: Verified, keySet: KeySet, generation: number): void;
}

interface Entry {
  readonly verified: Verified;
  readonly expiresAt: number;
  readonly keySet: KeySet;
  readonly generation: number;
}

const maxEntries = 10_000;

/** Belongs to one snapshot: what a reload may have changed is never in it. Holds digests, not tokens. */
export function createTokenCache(): TokenCache {
  const entries = new LRUCache<string, Entry>({ max: maxEntries });
  return {
    get(token, resource, nowMs) {
      const key = keyOf(token, resource);
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      if (nowMs < entry.expiresAt && entry.keySet.generation() === entry.generation) return entry.verified;
      entries.delete(key);
      return undefined;
    },
    set(token, resource, verified, keySet, generation) {
      const { expiresAt } = verified.principal;
      if (expiresAt !== undefined) entries.set(keyOf(token, resource), { verified, expiresAt, keySet, generation });
    },
  };
}

/** A token has one owner, so that its digest stands for the authenticator too; the resource decides the expected audience. */
function keyOf(token: string, resource: string): string {
  return `${hash('sha256', token, 'base64')} ${resource}`;
}
