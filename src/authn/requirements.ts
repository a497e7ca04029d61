// Requirements of a route on its callers, compiled from `authenticate`, `certificateFor` and `senderConstraint` once.
import { z } from 'zod';
import { authenticatorName } from '../config/schema/values.ts';
import type { Authenticator, CertificateAuthenticator, TokenAuthenticator, Verified } from './authenticator.ts';
import type { Caller } from './principal.ts';
import { compileImplications, type ScopeImplications, type WidenScopes } from './scopes.ts';

const alternative = z.union([authenticatorName, z.strictObject({ allOf: z.array(authenticatorName).min(1) })]);

/** `authenticate` of a route. */
export const authenticateSchema = z.union([
  z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/, 'expected the name of an authenticator, or none'),
  z.strictObject({
    anyOf: z.array(alternative).min(1).optional().describe('The first alternative that is all there counts.'),
    allOf: z.array(authenticatorName).min(1).optional().describe('All of these authenticators.'),
    optional: z.array(authenticatorName).optional().describe('Credentials that may come besides.'),
  }),
]);
export type AuthenticateConfig = z.output<typeof authenticateSchema>;

export interface Requirements {
  /** `none`: no credential is looked at. */
  readonly kind: 'none' | 'required';
  /** The authenticators that the route names; tokens and keys of others are refused on it. */
  readonly named: ReadonlySet<string>;
  /** The first whose members have all verified something satisfies the route; an empty list is never satisfied. */
  readonly alternatives: readonly (readonly string[])[];
  /** In the order in which they are shown a certificate: the route's, then the others. */
  readonly certificates: readonly CertificateAuthenticator[];
  /** Client ids, bare or as `authenticator/clientId`, whose tokens and keys need a certificate beside them. */
  readonly certificateFor: ReadonlySet<string>;
  /** Adds the scopes that those granted imply. */
  readonly widenScopes: WidenScopes;
  /** Only bound tokens, and certificates that act by themselves. */
  readonly senderConstrained: boolean;
  /** The route's authenticator of tokens that are no JWTs. */
  readonly opaque: TokenAuthenticator | undefined;
  /** Public: what a caller without credentials must present. */
  readonly demand: string;
  /** Callers by the token or key that they came with alone: a cached verification gives the same one each time. */
  readonly callers: WeakMap<Verified, Caller>;
}

const credentialNames = {
  'access-token': 'an access token',
  'api-key': 'an API key',
  'client-certificate': 'a client certificate',
} as const satisfies Record<Authenticator['accepts'], string>;

/** Compiles the requirements of a route. Throws an Error when it names an authenticator that there is none of. */
export function compileRequirements(
  route: {
    readonly authenticate: AuthenticateConfig;
    readonly certificateFor?: readonly string[] | undefined;
    readonly senderConstraint?: 'optional' | 'required' | undefined;
  },
  authenticators: ReadonlyMap<string, Authenticator>,
  scopeImplies: ScopeImplications = {},
): Requirements {
  const named = authenticatorNamesOf(route.authenticate).map((name) => {
    const authenticator = authenticators.get(name);
    if (authenticator === undefined) throw new Error(`unknown authenticator "${name}"`);
    return authenticator;
  });
  const alternatives = alternativesOf(route.authenticate);
  const inOrder = new Set([...named, ...authenticators.values()]);
  return {
    kind: route.authenticate === 'none' ? 'none' : 'required',
    named: new Set(named.map(({ name }) => name)),
    alternatives,
    certificates: [...inOrder].filter((each) => each.accepts === 'client-certificate'),
    certificateFor: new Set(route.certificateFor),
    widenScopes: compileImplications(scopeImplies),
    senderConstrained: route.senderConstraint === 'required',
    opaque: named.filter((each) => each.accepts === 'access-token').find(({ takesOpaque }) => takesOpaque),
    demand: describe(alternatives, authenticators),
    callers: new WeakMap(),
  };
}

/** Those of a route that looks at no credential. */
export const noRequirements = compileRequirements({ authenticate: 'none' }, new Map());

/** Every authenticator that `authenticate` names, optional ones included, each once and in order. */
export function authenticatorNamesOf(authenticate: AuthenticateConfig): string[] {
  const optional = typeof authenticate === 'string' ? [] : (authenticate.optional ?? []);
  return [...new Set([...alternativesOf(authenticate).flat(), ...optional])];
}

/** `anyOf` beside `allOf`: one of the alternatives, and all of those. */
function alternativesOf(authenticate: AuthenticateConfig): readonly (readonly string[])[] {
  if (authenticate === 'none') return [];
  if (typeof authenticate === 'string') return [[authenticate]];
  const { anyOf, allOf } = authenticate;
  if (anyOf === undefined) return allOf === undefined ? [] : [allOf];
  return anyOf.map((member) => [
    ...new Set([...(typeof member === 'string' ? [member] : member.allOf), ...(allOf ?? [])]),
  ]);
}

/** Names kinds of credentials, and no authenticators: their names are the operator's. */
function describe(
  alternatives: readonly (readonly string[])[],
  authenticators: ReadonlyMap<string, Authenticator>,
): string {
  const texts = alternatives.map((members) => {
    const kinds = members.map((name) => credentialNames[authenticators.get(name)!.accepts]);
    return [...new Set(kinds)].join(' and ');
  });
  return [...new Set(texts)].join(', or ');
}
