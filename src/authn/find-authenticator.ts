// Whose a token or key is, found among all authenticators before the route is asked: nothing is shown to anyone else.
import type { Authenticator, RefusalReason } from './authenticator.ts';
import type { Credential, Credentials } from './credential.ts';
import { isOpaque, parseCompactToken, peekIssuer } from './token/compact-jws.ts';

export interface KeyOwner {
  readonly authenticator: Authenticator;
  readonly prefix: string;
  readonly header: string;
}

export interface Owners {
  /** Longest prefix first. */
  readonly keys: readonly KeyOwner[];
  readonly issuers: ReadonlyMap<string, Authenticator>;
  /** The introspection authenticators by name. */
  readonly opaque: ReadonlyMap<string, Authenticator>;
}

export type Ownership =
  | { readonly credential: Credential; readonly owner: Authenticator }
  | { readonly credential: Credential; readonly owner: undefined; readonly reason: RefusalReason };

/** A token or key as its kind of credential; undefined when neither was presented. A Bearer value with a key's prefix is a key. */
export function presentedCredential(credentials: Credentials, owners: Owners): Credential | undefined {
  const { apiKey, bearer, dpop } = credentials;
  if (apiKey !== undefined) return { kind: 'api-key', ...apiKey };
  if (dpop !== undefined) return { kind: 'dpop-token', ...dpop };
  if (bearer === undefined) return undefined;
  return keyOwner(owners, bearer, 'authorization') === undefined
    ? { kind: 'access-token', token: bearer }
    : { kind: 'api-key', key: bearer, header: 'authorization' };
}

/** A key's owner by its prefix, a token's by its `iss`; one that does not tell its issuer is `opaqueOwner`'s, the route's. */
export function findOwner(credential: Credential, owners: Owners, opaqueOwner: string | undefined): Ownership {
  if (credential.kind === 'api-key') {
    const owner = keyOwner(owners, credential.key, credential.header);
    return owner === undefined ? { credential, owner, reason: 'unknown' } : { credential, owner };
  }
  if (credential.kind === 'client-certificate') return { credential, owner: undefined, reason: 'format' };
  // A key in the wrong scheme is a key all the same, and nobody's token to ask about.
  const isKey = credential.kind === 'dpop-token' && keyOwner(owners, credential.token, 'authorization') !== undefined;
  if (isKey) return { credential, owner: undefined, reason: 'scheme' };
  const token = parseCompactToken(credential.token);
  if (token === undefined) {
    const owner = isOpaque(credential.token) ? owners.opaque.get(opaqueOwner ?? '') : undefined;
    return owner === undefined ? { credential, owner, reason: 'format' } : { credential, owner };
  }
  const owner = owners.issuers.get(peekIssuer(token) ?? '');
  return owner === undefined ? { credential, owner, reason: 'issuer' } : { credential, owner };
}

/** Among equal prefixes the one whose header it came in. */
function keyOwner(owners: Owners, key: string, header: string): Authenticator | undefined {
  let found: KeyOwner | undefined;
  for (const candidate of owners.keys) {
    if (!key.startsWith(candidate.prefix)) continue;
    if (found !== undefined && found.prefix.length > candidate.prefix.length) break;
    if (found === undefined || (candidate.header === header && found.header !== header)) found = candidate;
  }
  return found?.authenticator;
}
