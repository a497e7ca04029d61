// Checks of the certificates, keys and revocation lists that the file names.
import { createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { createTrustStore, parseAuthorities, parseRevocationLists } from '../../authn/certificate/trust-store.ts';
import { createCertificateReader, type ParsedCertificate } from '../../authn/certificate/x509.ts';
import { parseCertificates } from '../../pem.ts';
import { type Path, readAt } from '../schema/reporter.ts';
import type { CheckContext } from './context.ts';

/** The certificates behind a key of the file; undefined, and reported, when they cannot be used. */
export function certificatesAt(
  context: CheckContext,
  path: Path,
  file: string | undefined,
): X509Certificate[] | undefined {
  return readAt(context, path, file, parseCertificates);
}

/** Certificate and key must be readable and belong together. */
export function checkKeyPair(context: CheckContext, base: Path, certFile?: string, keyFile?: string): void {
  const certificates = certificatesAt(context, [...base, 'certFile'], certFile);
  const key = readAt(context, [...base, 'keyFile'], keyFile, parsePrivateKey);
  const leaf = certificates?.[0];
  if (leaf === undefined) return;
  if (key !== undefined && !leaf.checkPrivateKey(key)) {
    context.error([...base, 'keyFile'], 'is not the key of the first certificate in certFile');
  }
  if (leaf.validToDate.getTime() <= context.now) {
    context.warn([...base, 'certFile'], `the certificate expired on ${day(leaf.validToDate.getTime())}`);
  }
}

/** The authorities that client certificates are held against, as the verifier itself reads them. */
export function authoritiesAt(
  context: CheckContext,
  path: Path,
  file: string | undefined,
): ParsedCertificate[] | undefined {
  const authorities = readAt(context, path, file, (content) => {
    const parsed = parseAuthorities(content);
    createTrustStore({ caPem: content, now: () => context.now, read: createCertificateReader() });
    return parsed;
  });
  for (const authority of authorities ?? []) {
    if (authority.notAfter > context.now) continue;
    context.warn(path, `the authority ${context.show(nameOf(authority))} expired on ${day(authority.notAfter)}`);
  }
  return authorities;
}

/** Lists that the verifier can use, one of every authority: its clients would all be refused without. */
export function checkRevocationLists(
  context: CheckContext,
  path: Path,
  tls: { readonly clientCaFile?: string | undefined; readonly clientCrlFile?: string | undefined },
  authorities: readonly ParsedCertificate[] | undefined,
): void {
  const caPem = tls.clientCaFile === undefined ? undefined : context.files.get(tls.clientCaFile);
  const lists = readAt(context, path, tls.clientCrlFile, (content) => {
    const parsed = parseRevocationLists(content);
    if (caPem !== undefined && authorities !== undefined) {
      createTrustStore({ caPem, crlPem: content, now: () => context.now, read: createCertificateReader() });
    }
    return parsed;
  });
  if (lists === undefined) return;
  const issuers = new Set(lists.map(({ issuerDer }) => issuerDer));
  for (const authority of authorities ?? []) {
    if (issuers.has(authority.subjectDer)) continue;
    const name = context.show(nameOf(authority));
    context.error(path, `there is no revocation list of the authority ${name} in it; its clients would all be refused`);
  }
}

function nameOf(authority: ParsedCertificate): string {
  return authority.native.subject.replaceAll('\n', ', ');
}

function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

/** The private key of a PEM file. Throws an Error with a public message. */
export function parsePrivateKey(pem: Buffer): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    throw new Error('the file holds no PEM private key, or an encrypted one');
  }
}
