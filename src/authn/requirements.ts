// Requirements of a route on its callers, compiled from `authenticate`, `certificateFor` and `senderConstraint` once.
import { type AuthenticateConfig, alternativesOf, authenticatorNamesOf } from './alternatives.ts';
import type { Authenticator, CertificateAuthenticator, TokenAuthenticator, Verified } from './authenticator.ts';
import type { Caller } from './caller/principal.ts';
import { compileImplications, type ScopeImplications, type WidenScopes } from './caller/scopes.ts';

/** The compiled `authenticate`, `senderConstraint` and `certificateFor` of a route. */
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
  const alternatives = alternativesOf(route.authenticate).required.map(({ members }) => [
    ...new Set(members.map(({ name }) => name)),
  ]);
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
