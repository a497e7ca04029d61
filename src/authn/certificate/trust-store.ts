// Trust store of client certificates (RFC 5280 §6): chain, validity, purpose, strength and revocation, verified on every request.
import { createBoundedCache } from '../../bounded-cache.ts';
import { PemError, parsePem } from '../../pem.ts';
import type { RefusalReason } from '../authenticator.ts';
import type { PeerCertificate } from '../credential.ts';
import { parseRevocationList, type RevocationList } from './crl.ts';
import { findPath, type TrustAnchors, type TrustedPath } from './path-validation.ts';
import { type ParsedCertificate, parseCertificateDer, type ReadCertificate } from './x509.ts';

export type Trust =
  | {
      readonly trusted: true;
      readonly certificate: ParsedCertificate;
      /** The first instant at which it is not: the end of it, of an authority above it, or of a revocation list. Milliseconds since 1970. */
      readonly until: number;
    }
  | {
      readonly trusted: false;
      readonly reason: RefusalReason;
      /** Where its chain held at a time at which it was valid itself: it is expired, not yet valid or revoked. */
      readonly certificate?: ParsedCertificate | undefined;
    };

/** Decides about the trust in certificates. */
export interface TrustStore {
  /** Verifies a presented certificate as of `nowMs`. */
  evaluate(peer: PeerCertificate, nowMs: number): Trust;
  /** SHA-256 fingerprints of the authorities that chains must end in. */
  readonly anchors: ReadonlySet<string>;
}

/** Options of `createTrustStore`. */
export interface TrustStoreOptions {
  readonly authorities: readonly ParsedCertificate[];
  /** Undefined: revocation is not checked. With lists, every certificate below an anchor needs a current one of its issuer. */
  readonly lists?: readonly RevocationList[] | undefined;
  readonly now: () => number;
  readonly read: ReadCertificate;
}

const maxCachedPaths = 10_000;
/** Reasons that do not question whose certificate it is. */
const temporary: ReadonlySet<RefusalReason> = new Set(['expired', 'not_yet_valid', 'revoked']);
/** By the error of the TLS handshake; any other is `untrusted`. */
const handshakeReasons: Readonly<Record<string, RefusalReason>> = {
  CERT_HAS_EXPIRED: 'expired',
  CERT_NOT_YET_VALID: 'not_yet_valid',
  CERT_REVOKED: 'revoked',
  INVALID_PURPOSE: 'purpose',
  CA_MD_TOO_WEAK: 'algorithm',
  CA_KEY_TOO_SMALL: 'algorithm',
  EE_KEY_TOO_SMALL: 'algorithm',
};

/** Creates the store. Throws an Error with a public message when a list is wrongly signed or out of date. */
export function createTrustStore({ authorities, lists, now, read }: TrustStoreOptions): TrustStore {
  const nowMs = now();
  for (const list of lists ?? []) checkList(list, authorities, nowMs);
  // No handshake enforces such constraints on a certificate from a header, so authorities that have them are none for these.
  const unconstrained = authorities.filter(isUnconstrained);
  // A session that is resumed brings no intermediates: the path found at its first handshake still holds.
  const paths = createBoundedCache<TrustedPath>({ entries: maxCachedPaths });

  return {
    anchors: new Set(authorities.map((authority) => authority.fingerprint)),
    evaluate(peer, nowMs) {
      if (peer.authorizationError !== undefined) {
        return untrusted(peer, handshakeReasons[peer.authorizationError] ?? 'untrusted');
      }
      const certificate = read(peer.certificate);
      if (certificate === undefined) return untrusted(peer, 'format');
      const known = paths.get(certificate.fingerprint);
      if (known !== undefined && isCurrent(known, nowMs)) return trusted(certificate, known);
      const found = pathOf(peer, certificate, lists, nowMs);
      if (typeof found === 'string') return untrusted(peer, found);
      paths.set(certificate.fingerprint, found);
      return trusted(certificate, found);
    },
  };

  function pathOf(
    { chain, fromHeader }: PeerCertificate,
    certificate: ParsedCertificate,
    revoked: TrustAnchors['lists'],
    nowMs: number,
  ): TrustedPath | RefusalReason {
    const intermediates = chain.map(read).filter((each) => each !== undefined);
    return fromHeader === true
      ? findPath(
          certificate,
          intermediates.filter(isUnconstrained),
          { authorities: unconstrained, lists: revoked },
          nowMs,
        )
      : findPath(certificate, intermediates, { authorities, lists: revoked }, nowMs);
  }

  function untrusted(peer: PeerCertificate, reason: RefusalReason): Trust {
    const certificate = temporary.has(reason) ? read(peer.certificate) : undefined;
    if (certificate === undefined) return { trusted: false, reason };
    const { notBefore, notAfter } = certificate;
    const held = [notBefore, notAfter].some((ms) => typeof pathOf(peer, certificate, undefined, ms) !== 'string');
    return { trusted: false, reason, certificate: held ? certificate : undefined };
  }
}

function isUnconstrained({ hasConstraints }: ParsedCertificate): boolean {
  return !hasConstraints;
}

function isCurrent(path: TrustedPath, nowMs: number): boolean {
  return nowMs >= path.notBefore && nowMs <= path.notAfter;
}

function trusted(certificate: ParsedCertificate, path: TrustedPath): Trust {
  return { trusted: true, certificate, until: path.notAfter + 1 };
}

/** The authorities of a PEM file, which holds nothing else. Throws an Error with a public message that names the block. */
export function parseAuthorities(pem: Buffer | string): ParsedCertificate[] {
  return parsePem(pem, 'CERTIFICATE').map((der, index) => {
    const parsed = parseCertificateDer(der);
    if (parsed === undefined) throw new PemError(index + 1, 'holds no certificate that can be read');
    if (!parsed.ca) throw new PemError(index + 1, 'holds a certificate that is not that of a certificate authority');
    return parsed;
  });
}

/** The lists of a PEM file, which holds nothing else. Throws an Error with a public message. */
export function parseRevocationLists(pem: Buffer | string): RevocationList[] {
  return parsePem(pem, 'X509 CRL').map((der, index) => {
    try {
      return parseRevocationList(der);
    } catch (error) {
      const { message } = error as Error;
      // Other words than the parser's own are about bytes.
      if (message.startsWith('the revocation list')) throw error;
      throw new PemError(index + 1, 'holds no revocation list that can be read');
    }
  });
}

function checkList(list: RevocationList, authorities: readonly ParsedCertificate[], nowMs: number): void {
  if (nowMs >= list.nextUpdate) throw new Error('the revocation list has expired: its next update is overdue');
  if (nowMs < list.thisUpdate) throw new Error('the revocation list is not valid yet');
  const issuers = authorities.filter((authority) => authority.subjectDer === list.issuerDer);
  if (issuers.length > 0 && !issuers.some((issuer) => list.isSignedBy(issuer.publicKey))) {
    throw new Error('the revocation list is not signed by the authority that it names');
  }
}
