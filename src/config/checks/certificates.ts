// Checks of the certificates, keys and revocation lists that the configuration names.
import { hasStrongSignature } from '../../authn/certificate/signature-algorithm.ts';
import { createTrustStore, parseAuthorities, parseRevocationLists } from '../../authn/certificate/trust-store.ts';
import {
  createCertificateReader,
  nameText,
  type ParsedCertificate,
  parseCertificate,
} from '../../authn/certificate/x509.ts';
import {
  buildSecureContext,
  parseCertificateChain,
  SecureContextError,
  tlsWeakness,
} from '../../http/connection/secure-context.ts';
import { isStrongKey, strongHashes } from '../../key-strength.ts';
import { parseCertificates } from '../../pem.ts';
import { attemptAt, type Path, readAt, reportUnusable } from '../schema/reporter.ts';
import type { CheckContext } from './context.ts';

const serverAuth = '1.3.6.1.5.5.7.3.1';
const anyUsage = '2.5.29.37.0';

/** Builds the TLS context of a section as the gateway will, and reports every file that it cannot use. True when there is none. */
export function checkSecureContext(context: CheckContext, base: Path, build: () => unknown): boolean {
  try {
    build();
    return true;
  } catch (error) {
    if (!(error instanceof SecureContextError)) throw error;
    for (const { key, path, cause } of error.files) {
      if (path === undefined || !context.files.has(path)) continue;
      reportUnusable(context, [...base, key], path, cause);
    }
    return false;
  }
}

/** Certificates that the gateway can show, and the other side may refuse. */
export function warnOfChain(context: CheckContext, path: Path, file: string | undefined): void {
  if (file === undefined) return;
  const chain = context.files.parse(file, parseCertificateChain);
  const end = chain[0]!.validToDate.getTime();
  if (end <= context.now) context.warn(path, `the certificate expired on ${day(end)}`);
  for (const certificate of chain) {
    if (hasStrongSignature(certificate) || certificate.checkIssued(certificate)) continue;
    const hash = parseCertificate(certificate)?.signatureHash;
    if (hash === undefined || strongHashes.has(hash)) continue;
    const name = context.show(nameText(certificate.subject));
    context.warn(
      path,
      `the certificate ${name} is signed with ${hash}, which others refuse; issue it anew with SHA-256`,
    );
  }
}

/** Warns of a certificate of a listener that its extended key usage keeps from being one (RFC 5280, section 4.2.1.12). */
export function warnOfPurpose(context: CheckContext, path: Path, file: string): void {
  const { keyUsage: usages } = context.files.parse(file, parseCertificateChain)[0]!;
  if (usages === undefined || usages.some((usage) => usage === serverAuth || usage === anyUsage)) return;
  context.warn(
    path,
    'the certificate is not for servers, its extended key usage has no serverAuth: clients will refuse it',
  );
}

/** The authorities that client certificates are held against, as the verifier itself reads them. */
export function authoritiesAt(
  context: CheckContext,
  path: Path,
  file: string | undefined,
): ParsedCertificate[] | undefined {
  const authorities = readAt(context, path, file, parseAuthorities);
  for (const { native, notAfter, publicKey } of authorities ?? []) {
    const name = context.show(nameText(native.subject));
    if (notAfter <= context.now) context.warn(path, `the authority ${name} expired on ${day(notAfter)}`);
    if (!isStrongKey(publicKey))
      context.warn(path, `the key of the authority ${name} is too weak; its clients are refused`);
  }
  return authorities;
}

/** Authorities that the TLS library itself would hold an upstream against, but refuses. */
export function warnOfAuthorities(context: CheckContext, path: Path, file: string | undefined): void {
  for (const certificate of file === undefined ? [] : context.files.parse(file, parseCertificates)) {
    const weakness = tlsWeakness(certificate, false);
    const name = context.show(nameText(certificate.subject));
    if (weakness !== undefined) context.warn(path, `the authority ${name} ${weakness}; what comes from it is refused`);
  }
}

/** Checks the `caFile` of a section whose servers are asked. */
export function checkServerAuthorities(context: CheckContext, base: Path, caFile: string | undefined): void {
  if (caFile === undefined) return;
  const ca = { key: 'caFile', path: caFile };
  const build = () => buildSecureContext(base.join('.'), { ca }, context.files, {});
  if (checkSecureContext(context, base, build)) warnOfAuthorities(context, [...base, 'caFile'], caFile);
}

/** Lists that the verifier can use, one of every authority: its clients would all be refused without. */
export function checkRevocationLists(
  context: CheckContext,
  path: Path,
  file: string | undefined,
  authorities: readonly ParsedCertificate[] | undefined,
): void {
  const lists = readAt(context, path, file, parseRevocationLists);
  if (file === undefined || lists === undefined || authorities === undefined) return;
  const options = { authorities, lists, now: () => context.now, read: createCertificateReader() };
  if (attemptAt(context, path, file, () => createTrustStore(options)) === undefined) return;
  const issuers = new Set(lists.map(({ issuerDer }) => issuerDer));
  for (const authority of authorities) {
    if (issuers.has(authority.subjectDer)) continue;
    const name = context.show(nameText(authority.native.subject));
    context.error(path, `there is no revocation list of the authority ${name} in it; its clients would all be refused`);
  }
}

function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
