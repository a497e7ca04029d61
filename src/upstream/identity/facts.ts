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

/** The value of `identity.headers`: a map from facts, or from claims by our names, to headers. */
export type IdentityHeadersConfig = boolean | Readonly<Record<string, string | undefined>>;

/** Which fact or claim goes into which header: all facts by their default names, exactly those of the map, or none. */
export function identityHeaderNames(
  config: IdentityHeadersConfig,
): readonly (readonly [fact: string, header: string])[] {
  if (config === false) return [];
  return Object.entries(config === true ? identityHeaderDefaults : config) as [string, string][];
}

/** True for a fact of every caller; anything else is a claim. */
export function isIdentityFact(name: string): name is IdentityFact {
  return Object.hasOwn(identityHeaderDefaults, name);
}

export const assertionAlgorithms = ['RS256', 'ES256', 'EdDSA'] as const;
export type AssertionAlgorithm = (typeof assertionAlgorithms)[number];
