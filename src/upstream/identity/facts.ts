// Facts about a caller that identity headers carry, and algorithms of assertions: what the configuration may name.

/** The facts that `identity.headers` can carry, with the header each goes into by default. */
export const identityHeaderDefaults = {
  subject: 'x-forwarded-user',
  clientId: 'x-forwarded-client-id',
  scopes: 'x-forwarded-scopes',
  authMethod: 'x-forwarded-auth-method',
  issuer: 'x-forwarded-issuer',
  tenant: 'x-forwarded-tenant',
  requestId: 'x-request-id',
} as const;
export type IdentityFact = keyof typeof identityHeaderDefaults;

/** The value of `identity.headers`. */
export type IdentityHeadersConfig = boolean | { readonly [fact in IdentityFact]?: string | undefined };

/** Which fact goes into which header: all by their default names, exactly those of the map, or none. */
export function identityHeaderNames(config: IdentityHeadersConfig): readonly (readonly [IdentityFact, string])[] {
  if (config === false) return [];
  return Object.entries(config === true ? identityHeaderDefaults : config) as [IdentityFact, string][];
}

export const assertionAlgorithms = ['RS256', 'ES256', 'EdDSA'] as const;
export type AssertionAlgorithm = (typeof assertionAlgorithms)[number];
