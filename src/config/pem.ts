// Certificates, keys and revocation lists out of PEM files, strictly: what cannot be read is an error, never an empty list.
import 'reflect-metadata';
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { X509Crl, X509Certificate as X509Reader } from '@peculiar/x509';

/** The certificates of a PEM file, at least one. Throws an Error with a public message. */
export function parseCertificates(pem: Buffer): X509Certificate[] {
  const blocks = pemBlocks(pem, 'CERTIFICATE');
  if (blocks.length === 0) throw new Error('the file holds no PEM certificate');
  return blocks.map((block) => {
    try {
      return new X509Certificate(block);
    } catch {
      throw new Error('the file holds a certificate that cannot be read');
    }
  });
}

/** The private key of a PEM file. Throws an Error with a public message. */
export function parsePrivateKey(pem: Buffer): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    throw new Error('the file holds no PEM private key, or an encrypted one');
  }
}

export interface RevocationList {
  /** In the same form as `subjectOf`. */
  readonly issuer: string;
  /** Milliseconds since 1970; undefined when the list does not say. */
  readonly nextUpdate: number | undefined;
}

/** The revocation lists of a PEM file, at least one (RFC 5280 §5). Throws an Error with a public message. */
export function parseRevocationLists(pem: Buffer): RevocationList[] {
  const blocks = pemBlocks(pem, 'X509 CRL');
  if (blocks.length === 0) throw new Error('the file holds no PEM revocation list');
  return blocks.map((block) => {
    try {
      const list = new X509Crl(block);
      return { issuer: list.issuer, nextUpdate: list.nextUpdate?.getTime() };
    } catch {
      throw new Error('the file holds a revocation list that cannot be read');
    }
  });
}

/** The subject as revocation lists name their issuer. */
export function subjectOf(certificate: X509Certificate): string {
  return new X509Reader(certificate.raw).subject;
}

/** The blocks of one kind, in their order. */
export function pemBlocks(pem: Buffer, label: string): string[] {
  const block = new RegExp(`-----BEGIN ${label}-----[A-Za-z0-9+/=\\s]+-----END ${label}-----`, 'g');
  return pem.toString('latin1').match(block) ?? [];
}
