// Lookup of the authenticator of a token or key, among all of them and before the route is asked: no other is shown it.
import type { Authenticator, KeyAuthenticator, RefusalReason, TokenAuthenticator } from './authenticator.ts';
import type { PresentedKey, PresentedToken } from './credential.ts';
import type { ProofVerifier } from './token/binding/dpop.ts';
import { isOpaque, unverifiedIssuer } from './token/compact-jws.ts';

/** Authenticators by the marks of their credentials. */
export interface AuthenticatorIndex {
  readonly byName: ReadonlyMap<string, Authenticator>;
  /** By the `iss` of their tokens. */
  readonly byIssuer: ReadonlyMap<string, TokenAuthenticator>;
  readonly keys: KeyIndex;
  /** Verifiers of DPoP proofs by the name of the authenticator; none where it refuses DPoP-bound tokens. */
  readonly proofs: ReadonlyMap<string, ProofVerifier>;
}

/** Authenticators of API keys. */
export interface KeyIndex {
  /** Longest prefix first. */
  readonly byPrefix: readonly KeyAuthenticator[];
  /** Lower-case names of all headers that keys may come in, besides Authorization. */
  readonly headers: ReadonlySet<string>;
}

export type Match =
  | { readonly kind: 'token'; readonly credential: PresentedToken; readonly authenticator: TokenAuthenticator }
  | { readonly kind: 'key'; readonly credential: PresentedKey; readonly authenticator: KeyAuthenticator };

/** Builds the index. */
export function indexAuthenticators(authenticators: readonly Authenticator[]): AuthenticatorIndex {
  const tokens = authenticators.filter((each) => each.accepts === 'access-token');
  const keys = authenticators.filter((each) => each.accepts === 'api-key');
  return {
    byName: new Map(authenticators.map((each) => [each.name, each])),
    byIssuer: new Map(tokens.map((each) => [each.issuer, each])),
    keys: {
      byPrefix: keys.toSorted((a, b) => b.prefix.length - a.prefix.length),
      headers: new Set(keys.map(({ header }) => header)),
    },
    proofs: new Map(tokens.flatMap(({ name, proofs }) => (proofs === undefined ? [] : [[name, proofs]]))),
  };
}

/** That of a key by its prefix, of a token by its unverified `iss`; `opaque` is the route's authenticator of tokens that are no JWTs. */
export function findAuthenticator(
  credential: PresentedToken | PresentedKey,
  { byIssuer, keys }: AuthenticatorIndex,
  opaque: TokenAuthenticator | undefined,
): Match | RefusalReason {
  if (credential.kind === 'api-key') {
    const authenticator = findKeyAuthenticator(keys, credential.key, credential.header);
    return authenticator === undefined ? 'unknown' : { kind: 'key', credential, authenticator };
  }
  const { text, jws } = credential.token;
  // A key in the wrong scheme is no token that an authorization server may be shown.
  if (credential.kind === 'dpop-token' && findKeyAuthenticator(keys, text, 'authorization') !== undefined)
    return 'scheme';
  const decoded = jws();
  if (decoded === undefined) {
    return opaque !== undefined && isOpaque(text) ? { kind: 'token', credential, authenticator: opaque } : 'format';
  }
  const authenticator = byIssuer.get(unverifiedIssuer(decoded) ?? '');
  return authenticator === undefined ? 'issuer' : { kind: 'token', credential, authenticator };
}

/** Among those of the longest prefix that fits the one of this header, or else the first. */
export function findKeyAuthenticator(
  { byPrefix }: KeyIndex,
  key: string,
  header: string,
): KeyAuthenticator | undefined {
  let found: KeyAuthenticator | undefined;
  for (const each of byPrefix) {
    if (found !== undefined && each.prefix.length < found.prefix.length) break;
    if (key.startsWith(each.prefix) && (found === undefined || (each.header === header && found.header !== header)))
      found = each;
  }
  return found;
}
