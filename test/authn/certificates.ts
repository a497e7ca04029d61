// Certificates that no honest authority issues: any name, extension, key and signature, in chains of any shape.
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

export interface TestCertificate {
  readonly pem: string;
  readonly certificate: x509.X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
  readonly signingAlgorithm: SigningAlgorithm;
}

export type SigningAlgorithm =
  | { readonly name: 'ECDSA'; readonly hash: string }
  | { readonly name: 'RSASSA-PKCS1-v1_5'; readonly hash: string }
  | { readonly name: 'RSA-PSS'; readonly hash: string; readonly saltLength: number };

export type SubjectName = ConstructorParameters<typeof x509.Name>[0];

export interface TestCertificateOptions {
  /** Absent: signs itself. */
  readonly issuer?: TestCertificate;
  /** RDNs as @peculiar/x509 takes them; default a CN `test`. */
  readonly name?: SubjectName;
  readonly ca?: boolean;
  readonly pathLength?: number;
  readonly keyUsage?: number;
  readonly extendedKeyUsage?: readonly string[];
  readonly extensions?: readonly x509.Extension[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly rsaBits?: number;
  /** Hash of the signature that the issuer makes; default SHA-256. */
  readonly hash?: string;
  /** Uses this key pair, and so can stand for the same authority a second time. */
  readonly keys?: webcrypto.CryptoKeyPair;
}

const day = 86_400_000;

export async function createCertificate(options: TestCertificateOptions = {}): Promise<TestCertificate> {
  const keys = options.keys ?? (await createKeys(options.rsaBits));
  const signer = options.issuer?.keys ?? keys;
  const hash = options.hash ?? 'SHA-256';
  const signingAlgorithm = signatureBy(signer, hash);
  const subject = new x509.Name(options.name ?? [{ CN: [{ utf8String: 'test' }] }]);
  const extensions = [
    ...(options.ca === undefined ? [] : [new x509.BasicConstraintsExtension(options.ca, options.pathLength, true)]),
    ...(options.keyUsage === undefined ? [] : [new x509.KeyUsagesExtension(options.keyUsage, true)]),
    ...(options.extendedKeyUsage === undefined
      ? []
      : [new x509.ExtendedKeyUsageExtension([...options.extendedKeyUsage])]),
    ...(options.extensions ?? []),
  ];
  const certificate = await x509.X509CertificateGenerator.create(
    {
      serialNumber: Buffer.from(webcrypto.getRandomValues(new Uint8Array(8)))
        .toString('hex')
        .replace(/^./, '4'),
      subject,
      issuer: options.issuer?.certificate.subjectName ?? subject,
      publicKey: keys.publicKey,
      signingKey: signer.privateKey,
      signingAlgorithm,
      notBefore: options.notBefore ?? new Date(Date.now() - day),
      notAfter: options.notAfter ?? new Date(Date.now() + 90 * day),
      extensions,
    },
    webcrypto,
  );
  return { pem: x509.PemConverter.encode(certificate.rawData, 'CERTIFICATE'), certificate, keys, signingAlgorithm };
}

export interface RevocationOptions {
  readonly issuer: TestCertificate;
  readonly serialNumbers?: readonly string[];
  readonly thisUpdate?: Date;
  readonly nextUpdate?: Date | undefined;
  readonly extensions?: readonly x509.Extension[];
  readonly hash?: string;
  /** Signs with another key than the issuer's. */
  readonly signer?: TestCertificate;
}

export async function createRevocationList(options: RevocationOptions): Promise<string> {
  const { issuer } = options;
  const signer = options.signer ?? issuer;
  const list = await x509.X509CrlGenerator.create(
    {
      issuer: issuer.certificate.subjectName,
      thisUpdate: options.thisUpdate ?? new Date(Date.now() - day),
      ...('nextUpdate' in options && options.nextUpdate === undefined
        ? {}
        : { nextUpdate: options.nextUpdate ?? new Date(Date.now() + day) }),
      signingAlgorithm: signatureBy(signer.keys, options.hash ?? 'SHA-256'),
      signingKey: signer.keys.privateKey,
      entries: (options.serialNumbers ?? []).map((serialNumber) => ({ serialNumber, revocationDate: new Date() })),
      extensions: [...(options.extensions ?? [])],
    },
    webcrypto,
  );
  return x509.PemConverter.encode(list.rawData, 'X509 CRL');
}

function signatureBy({ privateKey }: webcrypto.CryptoKeyPair, hash: string): SigningAlgorithm {
  return { name: privateKey.algorithm.name, hash, saltLength: 32 } as SigningAlgorithm;
}

export function createRsaPssKeys(hash: string): Promise<webcrypto.CryptoKeyPair> {
  const algorithm = {
    name: 'RSA-PSS',
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash,
  };
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']) as Promise<webcrypto.CryptoKeyPair>;
}

function createKeys(rsaBits: number | undefined): Promise<webcrypto.CryptoKeyPair> {
  const algorithm =
    rsaBits === undefined
      ? { name: 'ECDSA', namedCurve: 'P-256' }
      : {
          name: 'RSASSA-PKCS1-v1_5',
          modulusLength: rsaBits,
          publicExponent: new Uint8Array([1, 0, 1]),
          hash: 'SHA-256',
        };
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']) as Promise<webcrypto.CryptoKeyPair>;
}
