// Verified tokens of one configuration snapshot: a hash and a look-up instead of a verification, until they expire.
import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { VerificationContext, Verified } from '../authenticator.ts';
import type { KeySet } from './jwks.ts';

export interface TokenCache {
  /** The verification of a token for the context's resource, while it counts. */
  get(token: string, context: VerificationContext): Verified | undefined;
  /** Remembers a verification for the context's resource. */
  set(token: string, context: VerificationContext, verified: Verified, validity: Validity): void;
}

/** What a verification rests on. */
export interface Validity {
  /** Milliseconds since 1970: the first instant at which it does not count any more. Never beyond the token's own end. */
  readonly until: number;
  /** The keys that verified it, which must still be those of the issuer; absent when the issuer itself was asked. */
  readonly keys?: { readonly keySet: KeySet; readonly generation: number };
}

interface Entry extends Validity {
  readonly verified: Verified;
}

const maxEntries = 10_000;

/** Belongs to one snapshot: what a reload may have changed is never in it. Holds digests, not tokens. */
export function createTokenCache(): TokenCache {
  const entries = new LRUCache<string, Entry>({ max: maxEntries });
  return {
    get(token, context) {
      const key = keyOf(token, context);
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      const { until, keys, verified } = entry;
      if (context.now < until && (keys === undefined || keys.keySet.generation() === keys.generation)) return verified;
      entries.delete(key);
      return undefined;
    },
    set(token, context, verified, validity) {
      entries.set(keyOf(token, context), { verified, ...validity });
    },
  };
}

/** The resource decides the expected audience; whose the token is, its own digest does together with the route's owner of opaque ones. */
function keyOf(token: string, { resource, opaqueOwner = '' }: VerificationContext): string {
  return `${hash('sha256', token, 'hex')} ${opaqueOwner} ${resource}`;
}
