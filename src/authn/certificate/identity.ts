// Identity of a certificate: one of its names or its fingerprint, compared code unit by code unit.
import type { z } from 'zod';
import { fingerprint, text } from '../../config/schema/values.ts';
import type { ParsedCertificate } from './x509.ts';

/** The part of a certificate that entries of an allowlist are compared with. */
export type CertificateNames = Pick<ParsedCertificate, 'commonNames' | 'dnsNames' | 'fingerprint' | 'uris'>;

export const identityKeys = {
  commonName: text.optional().describe('The one common name of the subject.'),
  dnsName: text.optional().describe('A DNS name among the alternative names.'),
  uri: text.optional().describe('A URI among the alternative names, such as a SPIFFE id.'),
  fingerprint: fingerprint.optional().describe('SHA-256 of the certificate: sha256: and 64 hex digits.'),
};
export type CertificateIdentity = z.output<z.ZodObject<typeof identityKeys>>;
export type IdentityKey = keyof CertificateIdentity;

const allKeys = Object.keys(identityKeys) as IdentityKey[];
export const oneIdentityNeeded = `needs exactly one of ${allKeys.join(', ')}`;

/** The key that names the identity; undefined when there is none, or more than one. */
export function identityKeyOf(identity: CertificateIdentity): IdentityKey | undefined {
  const [key, ...others] = allKeys.filter((each) => identity[each] !== undefined);
  return others.length === 0 ? key : undefined;
}

/** The identity if the certificate has it, with every key that is named. */
export function matchingIdentity(identity: CertificateIdentity, certificate: CertificateNames): string | undefined {
  const { commonName, dnsName, uri, fingerprint } = identity;
  const [onlyName, ...furtherNames] = certificate.commonNames;
  const matches =
    (commonName === undefined || (onlyName === commonName && furtherNames.length === 0)) &&
    (dnsName === undefined || certificate.dnsNames.includes(dnsName)) &&
    (uri === undefined || certificate.uris.includes(uri)) &&
    (fingerprint === undefined || certificate.fingerprint === fingerprint);
  return matches ? (uri ?? dnsName ?? commonName ?? fingerprint) : undefined;
}
