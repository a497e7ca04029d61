// Common part of the authenticators of access tokens: all but their verification.
import { refused, type TokenAuthenticator } from '../authenticator.ts';
import type { AuthenticatorContext } from '../authenticator-type.ts';
import { createProofVerifier } from './binding/dpop.ts';
import { assumeClaims, type ClaimRules, dependsOnResource } from './claims.ts';
import type { TokenConfig } from './token-config.ts';

interface Parts<C extends TokenConfig> extends Pick<TokenAuthenticator, 'name' | 'takesOpaque' | 'verify'> {
  readonly config: C;
  readonly rules: ClaimRules;
  /** Keys that decide neither which tokens are accepted nor what they say; secrets are among them. */
  readonly reloadable: readonly (keyof C)[];
}

/** Creates the authenticator. Streams of its tokens go on over a reload that changes nothing but reloadable keys. */
export function createTokenAuthenticator<C extends TokenConfig>(
  { config, rules, reloadable, ...parts }: Parts<C>,
  { proofMemory }: Pick<AuthenticatorContext, 'proofMemory'>,
): TokenAuthenticator {
  const proofs = createProofVerifier(config.dpop, proofMemory);
  const all: readonly PropertyKey[] = [...reloadable, 'caFile', 'clockTolerance', 'dpop', 'maxScopes', 'scopePrefix'];
  const decisive = Object.entries(config).filter(([key]) => !all.includes(key));
  const acceptanceOf: TokenAuthenticator['acceptanceOf'] = ({ confirmation }, resource) => {
    const isBound = confirmation?.method === 'dpop';
    if (isBound && proofs === undefined) return undefined;
    return JSON.stringify([decisive, dependsOnResource(rules) && resource, isBound && proofs?.algorithms]);
  };
  return {
    ...parts,
    accepts: 'access-token',
    issuer: config.issuer,
    clockToleranceMs: config.clockTolerance,
    proofs,
    maxScopes: rules.maxScopes,
    acceptanceOf,
    configurationOf(principal, resource) {
      const acceptance = acceptanceOf(principal, resource);
      return acceptance && JSON.stringify([acceptance, config.maxScopes]);
    },
    reverify: (principal) => ({ verified: true, principal }),
    assume(stated) {
      const claims = assumeClaims(stated, rules);
      if ('refused' in claims) return refused(claims.refused, claims.identity);
      return { verified: true, principal: claims.principal };
    },
  };
}
