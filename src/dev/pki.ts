// Certificate authority for development and tests: ECDSA P-256 certificates and CRLs in memory (RFC 5280).
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

/** A certificate authority. Its key stays in memory. */
export interface CertificateAuthority {
  readonly certificatePem: string;
  issue(options: IssueOptions): Promise<IssuedCertificate>;
  /** A CRL (RFC 5280 §5) of exactly these serial numbers. `nextUpdate` defaults to 30 days from now. */
  revoke(serialNumbers: readonly string[], options?: { nextUpdate?: Date }): Promise<string>;
}

/** Validity of a certificate (RFC 5280 §4.1.2.5). */
export interface Validity {
  /** Default: an hour before now, or before `notAfter` if that is earlier. */
  readonly notBefore?: Date;
  readonly notAfter?: Date;
}

/** Subject, names and usage of a certificate. */
export interface IssueOptions extends Validity {
  /** Literal text without DN syntax. Several values make several CN attributes, none makes a subject without CN. */
  readonly commonName?: string | readonly string[];
  readonly dnsNames?: readonly string[];
  readonly uris?: readonly string[];
  readonly ips?: readonly string[];
  /** A server's certificate. Sets the default of `extendedKeyUsage`. */
  readonly server?: boolean;
  /** `serverAuth`, `clientAuth` or object identifiers. */
  readonly extendedKeyUsage?: readonly string[];
}

/** A certificate and its private key. */
export interface IssuedCertificate {
  readonly certificatePem: string;
  /** PKCS #8. */
  readonly keyPem: string;
  /** Upper-case hex without leading zeros, as `X509Certificate.serialNumber` of node:crypto gives it. */
  readonly serialNumber: string;
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const keyAlgorithm = { name: 'ECDSA', namedCurve: 'P-256' };
const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' };
const usageIdentifiers: Readonly<Record<string, string>> = {
  serverAuth: x509.ExtendedKeyUsage.serverAuth,
  clientAuth: x509.ExtendedKeyUsage.clientAuth,
};

/** Creates an authority with a fresh key. `commonName` defaults to `Portcullis development CA`, `notAfter` to a year from now. */
export async function createCertificateAuthority(
  options: { readonly commonName?: string } & Validity = {},
): Promise<CertificateAuthority> {
  const keys = await webcrypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: randomSerialNumber(),
      name: subjectName(options.commonName ?? 'Portcullis development CA'),
      keys,
      signingAlgorithm,
      ...validity(options, 365 * dayMs),
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  return {
    certificatePem: pem(certificate.rawData, 'CERTIFICATE'),
    issue: (issueOptions) => issue(certificate, keys, issueOptions),
    revoke: (serialNumbers, revokeOptions) => revoke(certificate, keys, serialNumbers, revokeOptions),
  };
}

async function issue(
  issuer: x509.X509Certificate,
  issuerKeys: webcrypto.CryptoKeyPair,
  options: IssueOptions,
): Promise<IssuedCertificate> {
  const keys = await webcrypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.create(
    {
      serialNumber: randomSerialNumber(),
      issuer: issuer.subjectName,
      subject: subjectName(options.commonName ?? []),
      publicKey: keys.publicKey,
      signingKey: issuerKeys.privateKey,
      signingAlgorithm,
      ...validity(options, 90 * dayMs),
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension(extendedKeyUsage(options)),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
        await x509.AuthorityKeyIdentifierExtension.create(issuerKeys.publicKey, false, webcrypto),
        ...alternativeNames(options),
      ],
    },
    webcrypto,
  );
  const key = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return {
    certificatePem: pem(certificate.rawData, 'CERTIFICATE'),
    keyPem: pem(key, 'PRIVATE KEY'),
    serialNumber: certificate.serialNumber.toUpperCase(),
  };
}

async function revoke(
  issuer: x509.X509Certificate,
  issuerKeys: webcrypto.CryptoKeyPair,
  serialNumbers: readonly string[],
  options: { nextUpdate?: Date } = {},
): Promise<string> {
  const nextUpdate = options.nextUpdate ?? new Date(Date.now() + 30 * dayMs);
  const thisUpdate = new Date(Math.min(Date.now(), nextUpdate.getTime()) - hourMs);
  const list = await x509.X509CrlGenerator.create(
    {
      issuer: issuer.subjectName,
      thisUpdate,
      nextUpdate,
      signingAlgorithm,
      signingKey: issuerKeys.privateKey,
      entries: serialNumbers.map((serialNumber) => ({ serialNumber, revocationDate: thisUpdate })),
      extensions: [
        await x509.AuthorityKeyIdentifierExtension.create(issuerKeys.publicKey, false, webcrypto),
        crlNumber(Date.now()),
      ],
    },
    webcrypto,
  );
  return pem(list.rawData, 'X509 CRL');
}

function subjectName(commonNames: string | readonly string[]): x509.Name {
  const names = typeof commonNames === 'string' ? [commonNames] : commonNames;
  return new x509.Name([
    { O: [{ utf8String: 'Portcullis development' }] },
    ...names.map((commonName) => ({ CN: [{ utf8String: commonName }] })),
  ]);
}

function validity(options: Validity, defaultLifetimeMs: number): { notBefore: Date; notAfter: Date } {
  const notAfter = options.notAfter ?? new Date((options.notBefore?.getTime() ?? Date.now()) + defaultLifetimeMs);
  return { notBefore: options.notBefore ?? new Date(Math.min(Date.now(), notAfter.getTime()) - hourMs), notAfter };
}

function extendedKeyUsage(options: IssueOptions): string[] {
  const usages = options.extendedKeyUsage ?? [options.server === true ? 'serverAuth' : 'clientAuth'];
  return usages.map((usage) => usageIdentifiers[usage] ?? usage);
}

function alternativeNames(options: IssueOptions): x509.Extension[] {
  const names: x509.JsonGeneralNames = [
    ...(options.dnsNames ?? []).map((value) => ({ type: 'dns' as const, value })),
    ...(options.uris ?? []).map((value) => ({ type: 'url' as const, value })),
    ...(options.ips ?? []).map((value) => ({ type: 'ip' as const, value })),
  ];
  return names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)];
}

/** 126 random bits below a fixed top bit: no leading zero in hex, never a negative integer. */
function randomSerialNumber(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return Buffer.from(bytes).toString('hex');
}

/** The CRL number, which grows from list to list (RFC 5280 §5.2.3). */
function crlNumber(value: number): x509.Extension {
  const digits = value.toString(16);
  const magnitude = Buffer.from(digits.length % 2 === 0 ? `00${digits}` : `0${digits}`, 'hex');
  const integer = magnitude[0] === 0 && (magnitude[1] ?? 0) < 0x80 ? magnitude.subarray(1) : magnitude;
  return new x509.Extension('2.5.29.20', false, Buffer.from([0x02, integer.length, ...integer]));
}

function pem(der: ArrayBuffer, label: 'CERTIFICATE' | 'X509 CRL' | 'PRIVATE KEY'): string {
  return `${x509.PemConverter.encode(der, label)}\n`;
}
