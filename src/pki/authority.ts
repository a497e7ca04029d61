// Private certificate authority: ECDSA P-256 certificates and CRLs (RFC 5280).
import 'reflect-metadata';
import { createPrivateKey, createPublicKey, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

/** A certificate authority. */
export interface CertificateAuthority {
  readonly certificatePem: string;
  /** PKCS #8. */
  readonly keyPem: string;
  /** A certificate for a new key. */
  issue(options: IssueOptions): Promise<IssuedCertificate>;
  /** A certificate for the key of a PKCS #10 request in PEM (RFC 2986). Names are those of the options. Throws an Error where the request is not signed with its key. */
  sign(request: string, options: IssueOptions): Promise<Omit<IssuedCertificate, 'keyPem'>>;
  /** A CRL (RFC 5280 §5) of exactly these serial numbers. `nextUpdate` defaults to 30 days from now. */
  revoke(serialNumbers: readonly string[], options?: RevocationListOptions): Promise<string>;
}

/** Dates of a CRL. */
export interface RevocationListOptions {
  readonly nextUpdate?: Date;
  /** By serial number; default the date of the list. */
  readonly revokedAt?: ReadonlyMap<string, Date>;
}

/** Name and validity of an authority. */
export interface AuthorityOptions extends Validity {
  /** Default `Portcullis development CA`. */
  readonly commonName?: string;
  /** Also of the certificates that it issues; default `Portcullis development`. */
  readonly organization?: string;
}

/** Validity of a certificate (RFC 5280 §4.1.2.5). */
interface Validity {
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

/** Creates an authority with a fresh key. `notAfter` defaults to a year from now. */
export async function createCertificateAuthority(options: AuthorityOptions = {}): Promise<CertificateAuthority> {
  const keys = await webcrypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify']);
  const { commonName = 'Portcullis development CA', organization = 'Portcullis development' } = options;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: randomSerialNumber(),
      name: subjectName(organization, commonName),
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
  return authorityOf(certificate, keys, await keyPemOf(keys.privateKey));
}

/** Opens an authority from the PEM of its certificate and key. Throws an Error where they are no pair on the curve P-256. */
export async function openCertificateAuthority(certificatePem: string, keyPem: string): Promise<CertificateAuthority> {
  const certificate = new x509.X509Certificate(certificatePem);
  const key = createPrivateKey(keyPem);
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new Error('the key is not an ECDSA key on P-256');
  const publicDer = createPublicKey(key).export({ type: 'spki', format: 'der' });
  if (!publicDer.equals(Buffer.from(certificate.publicKey.rawData))) {
    throw new Error('the certificate is of another key');
  }
  const { subtle } = webcrypto;
  const privateDer = key.export({ type: 'pkcs8', format: 'der' });
  const keys = {
    privateKey: await subtle.importKey('pkcs8', privateDer, keyAlgorithm, false, ['sign']),
    publicKey: await subtle.importKey('spki', publicDer, keyAlgorithm, true, ['verify']),
  };
  return authorityOf(certificate, keys, keyPem);
}

function authorityOf(
  certificate: x509.X509Certificate,
  keys: webcrypto.CryptoKeyPair,
  keyPem: string,
): CertificateAuthority {
  return {
    certificatePem: pem(certificate.rawData, 'CERTIFICATE'),
    keyPem,
    async issue(options) {
      const own = await webcrypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify']);
      return { ...(await issue(certificate, keys, own.publicKey, options)), keyPem: await keyPemOf(own.privateKey) };
    },
    async sign(request, options) {
      const parsed = new x509.Pkcs10CertificateRequest(request);
      if (!(await parsed.verify(webcrypto))) throw new Error('the request is not signed with its own key');
      return issue(certificate, keys, await parsed.publicKey.export(webcrypto), options);
    },
    revoke: (serialNumbers, options) => revoke(certificate, keys, serialNumbers, options),
  };
}

async function issue(
  issuer: x509.X509Certificate,
  issuerKeys: webcrypto.CryptoKeyPair,
  publicKey: webcrypto.CryptoKey,
  options: IssueOptions,
): Promise<Omit<IssuedCertificate, 'keyPem'>> {
  const [organization] = issuer.subjectName.getField('O');
  const certificate = await x509.X509CertificateGenerator.create(
    {
      serialNumber: randomSerialNumber(),
      issuer: issuer.subjectName,
      subject: subjectName(organization, options.commonName ?? []),
      publicKey,
      signingKey: issuerKeys.privateKey,
      signingAlgorithm,
      ...validity(options, 90 * dayMs),
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension(extendedKeyUsage(options)),
        await x509.SubjectKeyIdentifierExtension.create(publicKey, false, webcrypto),
        await x509.AuthorityKeyIdentifierExtension.create(issuerKeys.publicKey, false, webcrypto),
        ...alternativeNames(options),
      ],
    },
    webcrypto,
  );
  return {
    certificatePem: pem(certificate.rawData, 'CERTIFICATE'),
    serialNumber: certificate.serialNumber.toUpperCase(),
  };
}

async function revoke(
  issuer: x509.X509Certificate,
  issuerKeys: webcrypto.CryptoKeyPair,
  serialNumbers: readonly string[],
  options: RevocationListOptions = {},
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
      entries: serialNumbers.map((serialNumber) => ({
        serialNumber,
        revocationDate: options.revokedAt?.get(serialNumber) ?? thisUpdate,
      })),
      extensions: [
        await x509.AuthorityKeyIdentifierExtension.create(issuerKeys.publicKey, false, webcrypto),
        crlNumber(Date.now()),
      ],
    },
    webcrypto,
  );
  return pem(list.rawData, 'X509 CRL');
}

async function keyPemOf(key: webcrypto.CryptoKey): Promise<string> {
  return pem(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY');
}

function subjectName(organization: string | undefined, commonNames: string | readonly string[]): x509.Name {
  const names = typeof commonNames === 'string' ? [commonNames] : commonNames;
  return new x509.Name([
    ...(organization === undefined ? [] : [{ O: [{ utf8String: organization }] }]),
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
