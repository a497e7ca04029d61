// Certification path validation (RFC 5280 §6.1): from a client certificate to a configured authority.
import { isStrongKey, strongHashes } from '../../key-strength.ts';
import type { RefusalReason } from '../authenticator.ts';
import type { RevocationList } from './crl.ts';
import type { ParsedCertificate } from './x509.ts';

/** Authorities and their revocation lists. */
export interface TrustAnchors {
  readonly authorities: readonly ParsedCertificate[];
  /** Undefined: revocation is not checked. */
  readonly lists: readonly RevocationList[] | undefined;
}

/** A path that holds between two instants, both included, in milliseconds since 1970. */
export interface TrustedPath {
  readonly notBefore: number;
  readonly notAfter: number;
}

const maxAuthorities = 8;
/** Certificates that all seem to issue each other must not cost a search of every order of them. */
const maxPaths = 32;
const clientAuthentication = '1.3.6.1.5.5.7.3.2';
const anyPurpose = '2.5.29.37.0';
/** Bits of the key usage extension (RFC 5280 §4.2.1.3), as @peculiar/x509 numbers them. */
const usage = { digitalSignature: 1, keyAgreement: 16, keyCertSign: 32, cRLSign: 64 };

/** The first path that holds now, or why none does. `intermediates` are the client's and only trusted by their signatures. */
export function findPath(
  leaf: ParsedCertificate,
  intermediates: readonly ParsedCertificate[],
  trust: TrustAnchors,
  nowMs: number,
): TrustedPath | RefusalReason {
  if (!mayAuthenticateClients(leaf)) return 'purpose';
  let reason: RefusalReason = 'untrusted';
  const pending: ParsedCertificate[][] = [[leaf]];
  let budget = maxPaths;
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const last = path.at(-1)!;
    for (const authority of trust.authorities) {
      if (!isIssuedBy(last, authority)) continue;
      const validated = validatePath([...path, authority], trust.lists, nowMs);
      if (typeof validated !== 'string') return validated;
      reason = validated;
    }
    if (path.length > maxAuthorities || budget-- === 0) break;
    for (const intermediate of intermediates) {
      if (!path.includes(intermediate) && isIssuedBy(last, intermediate)) pending.push([...path, intermediate]);
    }
  }
  return reason;
}

/** Validates a complete path: the client's certificate first, a configured authority last. */
function validatePath(
  path: readonly ParsedCertificate[],
  lists: readonly RevocationList[] | undefined,
  nowMs: number,
): TrustedPath | RefusalReason {
  let notBefore = Number.NEGATIVE_INFINITY;
  let notAfter = Number.POSITIVE_INFINITY;
  for (const [index, certificate] of path.entries()) {
    const isAnchor = index === path.length - 1;
    const weakness = checkStrength(certificate, isAnchor) ?? checkRole(certificate, index);
    if (weakness !== undefined) return weakness;
    if (nowMs < certificate.notBefore) return 'not_yet_valid';
    // The last second counts: notAfter has no fractions.
    if (nowMs >= certificate.notAfter + 1000) return 'expired';
    notBefore = Math.max(notBefore, certificate.notBefore);
    notAfter = Math.min(notAfter, certificate.notAfter + 999);
    if (isAnchor || lists === undefined) continue;
    const current = lists.filter((each) => isListOf(each, path[index + 1]!, nowMs));
    // Without a current list of the issuer it may be revoked.
    if (current.length === 0) return 'untrusted';
    if (current.some((list) => list.serialNumbers.has(certificate.serialNumber))) return 'revoked';
    notBefore = Math.max(notBefore, ...current.map((list) => list.thisUpdate));
    notAfter = Math.min(notAfter, ...current.map((list) => list.nextUpdate - 1));
  }
  return { notBefore, notAfter };
}

function isIssuedBy(certificate: ParsedCertificate, issuer: ParsedCertificate): boolean {
  return certificate.native.checkIssued(issuer.native) && certificate.native.verify(issuer.publicKey);
}

function mayAuthenticateClients(leaf: ParsedCertificate): boolean {
  const { keyUsage } = leaf;
  const mayIdentify = keyUsage === undefined || (keyUsage & (usage.digitalSignature | usage.keyAgreement)) !== 0;
  return mayIdentify && allowsClients(leaf);
}

function allowsClients({ extendedKeyUsage }: ParsedCertificate): boolean {
  return (
    extendedKeyUsage === undefined ||
    extendedKeyUsage.includes(clientAuthentication) ||
    extendedKeyUsage.includes(anyPurpose)
  );
}

/** An anchor's own signature says nothing, its key does. */
function checkStrength(certificate: ParsedCertificate, isAnchor: boolean): RefusalReason | undefined {
  const { publicKey, signatureHash } = certificate;
  if (!isAnchor && signatureHash !== undefined && !strongHashes.has(signatureHash)) return 'algorithm';
  return isStrongKey(publicKey) ? undefined : 'algorithm';
}

/** Authorities must be such, and may limit how many of them follow (RFC 5280 §4.2.1.9). */
function checkRole(certificate: ParsedCertificate, index: number): RefusalReason | undefined {
  if (certificate.hasUnknownCriticalExtension) return 'untrusted';
  if (index === 0) return undefined;
  const { ca, keyUsage, pathLength } = certificate;
  if (!ca || (keyUsage !== undefined && (keyUsage & usage.keyCertSign) === 0)) return 'untrusted';
  if (pathLength !== undefined && index - 1 > pathLength) return 'untrusted';
  return allowsClients(certificate) ? undefined : 'purpose';
}

function isListOf(list: RevocationList, issuer: ParsedCertificate, nowMs: number): boolean {
  const maySign = issuer.keyUsage === undefined || (issuer.keyUsage & usage.cRLSign) !== 0;
  return (
    maySign &&
    list.issuerDer === issuer.subjectDer &&
    nowMs >= list.thisUpdate &&
    nowMs < list.nextUpdate &&
    list.isSignedBy(issuer.publicKey)
  );
}
