// Cache of verified access tokens of one snapshot, by their digests.
import { createSharedCache } from '../../oauth/shared-cache.ts';
import type { VerificationContext, Verified } from '../authenticator.ts';
import { subjectKey } from '../caller/principal.ts';
import type { AccessToken } from './compact-jws.ts';

/** Belongs to one snapshot, so that it holds nothing that a reload may have changed. Holds digests, not tokens. */
export interface TokenCache {
  /** The verification of a token while it holds. `opaque` is the route's authenticator of tokens that are no JWTs. */
  get(
    token: AccessToken,
    opaque: Named | undefined,
    context: Pick<VerificationContext, 'resource' | 'now'>,
  ): Verified | undefined;
  /** Keeps a verification for as long as its `validity` says; one without is not kept. */
  set(
    token: AccessToken,
    opaque: Named | undefined,
    context: Pick<VerificationContext, 'resource'>,
    verified: Verified,
  ): void;
}

type Named = { readonly name: string };

const limits = { entries: 10_000, entriesPerCaller: 1000, bytes: 32 * 1024 * 1024 };

/** Creates an empty cache. */
export function createTokenCache(): TokenCache {
  const entries = createSharedCache<Verified>(limits);
  return {
    get(token, opaque, { resource, now }) {
      const entry = entries.get(keyOf(token, opaque, resource));
      return entry !== undefined && holds(entry, now) ? entry : undefined;
    },
    set(token, opaque, { resource }, verified) {
      if (verified.validity === undefined) return;
      // The claims that are kept are a part of the token, or of what its server says of it.
      entries.set(subjectKey(verified.principal), keyOf(token, opaque, resource), verified, token.text.length);
    },
  };
}

function holds({ validity }: Verified, nowMs: number): boolean {
  return validity !== undefined && nowMs < validity.until && validity.isCurrent?.() !== false;
}

/** Verified for a resource, the default audience, and by `opaque` where the token does not tell its issuer. */
function keyOf({ digest }: AccessToken, opaque: Named | undefined, resource: string): string {
  return `${digest} ${opaque?.name ?? ''} ${resource}`;
}
