// Revocation list of the operator, compiled at each change and looked up on every request, behind every cache.
import type { X509Certificate } from 'node:crypto';
import { canonicalSerialNumber } from '../certificate/x509.ts';
import type { Caller, Principal } from './principal.ts';

/** The entries of a revocation file. Ids are bare, or `authenticator/id`. */
export interface RevocationEntries {
  readonly jti: readonly string[];
  readonly subjects: readonly string[];
  readonly clientIds: readonly string[];
  readonly keyIds: readonly string[];
  /** Each `sha256:` and 64 hex digits, or a serial number as `canonicalSerialNumber` writes it. */
  readonly certificates: readonly string[];
  /** Milliseconds since 1970: tokens from before are revoked, and those that do not say from when they are. */
  readonly issuedBefore: number | undefined;
}

/** The property by which a credential is revoked; for records. */
export type RevokedBy = 'jti' | 'subject' | 'clientId' | 'keyId' | 'certificate' | 'issuedBefore';

/** The properties of a principal that a revocation list names. */
export type RevocablePrincipal = Pick<Principal, 'kind' | 'authenticator' | 'subject' | 'clientId' | 'credentialId'> &
  Partial<Pick<Principal, 'issuedAt'>>;

/** Lookups in constant time; valid until the next change of the list. */
export interface Revocations {
  ofPrincipal(principal: RevocablePrincipal): RevokedBy | undefined;
  /** For every certificate of a request, also one that only proves the sender of a bound token. */
  ofCertificate(certificate: X509Certificate): RevokedBy | undefined;
}

export const noEntries: RevocationEntries = {
  jti: [],
  subjects: [],
  clientIds: [],
  keyIds: [],
  certificates: [],
  issuedBefore: undefined,
};

export const nothingRevoked: Revocations = { ofPrincipal: () => undefined, ofCertificate: () => undefined };

/** Compiles the entries for lookups. */
export function compileRevocations(entries: RevocationEntries): Revocations {
  const jti = compileIds(entries.jti);
  const subjects = compileIds(entries.subjects);
  const clientIds = compileIds(entries.clientIds);
  const keyIds = compileIds(entries.keyIds);
  const certificates = new Set(entries.certificates);
  const issuedBefore = entries.issuedBefore ?? Number.NEGATIVE_INFINITY;
  const known = new WeakMap<X509Certificate, boolean>();

  function revokesCertificate(certificate: X509Certificate): boolean {
    let revoked = known.get(certificate);
    if (revoked === undefined) {
      const fingerprint = `sha256:${certificate.fingerprint256.replaceAll(':', '').toLowerCase()}`;
      revoked = certificates.has(fingerprint) || certificates.has(canonicalSerialNumber(certificate.serialNumber));
      known.set(certificate, revoked);
    }
    return revoked;
  }

  return {
    ofPrincipal(principal) {
      const { kind, authenticator, subject, clientId, credentialId } = principal;
      if (clientIds(authenticator, clientId)) return 'clientId';
      if (subjects(authenticator, subject)) return 'subject';
      switch (kind) {
        case 'oauth':
          if (jti(authenticator, credentialId)) return 'jti';
          return (principal.issuedAt ?? Number.NEGATIVE_INFINITY) < issuedBefore ? 'issuedBefore' : undefined;
        case 'api-key':
          return keyIds(authenticator, credentialId) ? 'keyId' : undefined;
        case 'mtls':
          return certificates.has(credentialId ?? '') ? 'certificate' : undefined;
        default:
          return kind satisfies never;
      }
    },
    ofCertificate: (certificate) =>
      certificates.size > 0 && revokesCertificate(certificate) ? 'certificate' : undefined,
  };
}

/** True when a credential of the caller is revoked, or one of these certificates of its request. */
export function revokesCaller(
  revocations: Revocations,
  caller: Caller | undefined,
  certificates: readonly (X509Certificate | undefined)[],
): boolean {
  if (caller === undefined) return false;
  if (certificates.some((each) => each !== undefined && revocations.ofCertificate(each) !== undefined)) return true;
  const { principal, certificate: beside } = caller;
  return (
    revocations.ofPrincipal(principal) !== undefined ||
    (beside !== undefined && revocations.ofPrincipal(beside) !== undefined)
  );
}

/** The entries of both lists. */
export function mergeEntries(one: RevocationEntries, other: RevocationEntries): RevocationEntries {
  const both = (key: Exclude<keyof RevocationEntries, 'issuedBefore'>) => [...new Set([...one[key], ...other[key]])];
  const dates = [one.issuedBefore, other.issuedBefore].filter((date) => date !== undefined);
  return {
    jti: both('jti'),
    subjects: both('subjects'),
    clientIds: both('clientIds'),
    keyIds: both('keyIds'),
    certificates: both('certificates'),
    issuedBefore: dates.length === 0 ? undefined : Math.max(...dates),
  };
}

/** The number of entries. */
export function countEntries({ issuedBefore, ...lists }: RevocationEntries): number {
  const listed = Object.values(lists).reduce((sum, list) => sum + list.length, 0);
  return issuedBefore === undefined ? listed : listed + 1;
}

/** An id may itself have a slash, so an entry that has one is read both ways. */
function compileIds(ids: readonly string[]): (authenticator: string, id: string | undefined) => boolean {
  const bare = new Set(ids);
  const qualified = new Map<string, Set<string>>();
  for (const id of ids) {
    const slash = id.indexOf('/');
    if (slash < 1) continue;
    const authenticator = id.slice(0, slash);
    const known = qualified.get(authenticator) ?? new Set();
    qualified.set(authenticator, known.add(id.slice(slash + 1)));
  }
  return (authenticator, id) => id !== undefined && (bare.has(id) || qualified.get(authenticator)?.has(id) === true);
}
