// X.509 certificates (RFC 5280), parsed from their DER and never from a printed name.
import { hash, type KeyObject, type X509Certificate } from 'node:crypto';
import { createRequire } from 'node:module';
import type * as x509 from '@peculiar/x509';
import { certificateFromDer } from '../../pem.ts';

const require = createRequire(import.meta.url);

/** The ASN.1 library: loaded with the first certificate that is parsed, since it is a fifth of all modules. */
export function loadX509(): typeof x509 {
  require('reflect-metadata');
  return require('@peculiar/x509') as typeof x509;
}

/** A certificate, parsed once. Nothing in it is trusted yet. */
export interface ParsedCertificate {
  readonly native: X509Certificate;
  /** `sha256:` and 64 hex digits. */
  readonly fingerprint: string;
  /** Lower-case hex without leading zeros. */
  readonly serialNumber: string;
  readonly subjectDer: string;
  readonly issuerDer: string;
  readonly commonNames: readonly string[];
  readonly dnsNames: readonly string[];
  readonly uris: readonly string[];
  /** Milliseconds since 1970, both instants included. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly ca: boolean;
  /** Undefined: any number of authorities may follow. */
  readonly pathLength: number | undefined;
  /** Undefined: not restricted. */
  readonly keyUsage: number | undefined;
  /** Object identifiers; undefined: not restricted. */
  readonly extendedKeyUsage: readonly string[] | undefined;
  readonly hasUnknownCriticalExtension: boolean;
  /** Constraints on names or policies, which only OpenSSL enforces, at the handshake. */
  readonly hasConstraints: boolean;
  /** `signatureHashOf` its signature. */
  readonly signatureHash: string | undefined;
  readonly publicKey: KeyObject;
}

/** Gives the same parsed object for the same certificate object; undefined when it cannot be read. */
export type ReadCertificate = (certificate: X509Certificate) => ParsedCertificate | undefined;

const subjectAlternativeName = '2.5.29.17';
const dnsNameTag = 0x82;
const uriTag = 0x86;
/** Extensions whose meaning is enforced here, or by OpenSSL at the handshake (constraints and policies). */
const constraints = ['2.5.29.30', '2.5.29.36', '2.5.29.54'];
const knownExtensions = new Set([
  '2.5.29.14',
  '2.5.29.15',
  subjectAlternativeName,
  '2.5.29.18',
  '2.5.29.19',
  '2.5.29.30',
  '2.5.29.31',
  '2.5.29.32',
  '2.5.29.33',
  '2.5.29.35',
  '2.5.29.36',
  '2.5.29.37',
  '2.5.29.54',
]);

/** Creates a reader that parses each certificate object once, for as long as that object lives. */
export function createCertificateReader(): ReadCertificate {
  const known = new WeakMap<X509Certificate, { parsed: ParsedCertificate | undefined }>();
  return (certificate) => {
    let entry = known.get(certificate);
    if (entry === undefined) {
      entry = { parsed: parseCertificate(certificate) };
      known.set(certificate, entry);
    }
    return entry.parsed;
  };
}

/** Parses a certificate. Undefined when any part of it that matters here is malformed or stands there twice. */
export function parseCertificate(native: X509Certificate): ParsedCertificate | undefined {
  const library = loadX509();
  try {
    return parse(native, library);
  } catch {
    return undefined;
  }
}

/** Parses the certificate in these bytes. Undefined when they are none, more than one, or one that `parseCertificate` cannot read. */
export function parseCertificateDer(der: Buffer): ParsedCertificate | undefined {
  const library = loadX509();
  try {
    return parse(certificateFromDer(der), library);
  } catch {
    return undefined;
  }
}

function parse(native: X509Certificate, library: typeof x509): ParsedCertificate {
  const certificate = new library.X509Certificate(native.raw);
  const types = certificate.extensions.map((extension) => extension.type);
  if (new Set(types).size !== types.length) throw new Error('an extension stands there twice');
  const basic = certificate.getExtension(library.BasicConstraintsExtension);
  const names = alternativeNames(certificate);
  return {
    native,
    fingerprint: `sha256:${hash('sha256', native.raw, 'hex')}`,
    serialNumber: canonicalSerialNumber(certificate.serialNumber),
    subjectDer: nameDer(certificate.subjectName),
    issuerDer: nameDer(certificate.issuerName),
    commonNames: certificate.subjectName.getField('CN'),
    dnsNames: names.filter(({ tag }) => tag === dnsNameTag).map(({ text }) => text),
    uris: names.filter(({ tag }) => tag === uriTag).map(({ text }) => text),
    notBefore: certificate.notBefore.getTime(),
    notAfter: certificate.notAfter.getTime(),
    ca: native.ca && basic?.ca === true,
    pathLength: basic?.pathLength,
    keyUsage: certificate.getExtension(library.KeyUsagesExtension)?.usages,
    extendedKeyUsage: certificate.getExtension(library.ExtendedKeyUsageExtension)?.usages.map(String),
    hasUnknownCriticalExtension: certificate.extensions.some(
      (extension) => extension.critical && !knownExtensions.has(extension.type),
    ),
    hasConstraints: types.some((type) => constraints.includes(type)),
    signatureHash: signatureHashOf(certificate.signatureAlgorithm as SignatureAlgorithm),
    publicKey: native.publicKey,
  };
}

/** Contents of their object identifiers: RSA and ECDSA with SHA-256, SHA-384 and SHA-512, Ed25519, Ed448. */
const strongSignatures = new Set([
  ...['2a864886f70d01010b', '2a864886f70d01010c', '2a864886f70d01010d'],
  ...['2a8648ce3d040302', '2a8648ce3d040303', '2a8648ce3d040304'],
  ...['2b6570', '2b6571'],
]);

/** True for the usual strong algorithms, without the library. False where the bytes are no DER. */
export function hasStrongSignature({ raw }: X509Certificate): boolean {
  try {
    const [certificate] = readDerElements(raw);
    const [, algorithm] = readDerElements(certificate!.content);
    const [identifier] = readDerElements(algorithm!.content);
    return strongSignatures.has(Buffer.from(identifier!.content).toString('hex'));
  } catch {
    return false;
  }
}

interface SignatureAlgorithm {
  readonly name: string;
  readonly hash?: { readonly name: string } | undefined;
}

const withBuiltInHash = new Set(['Ed25519', 'Ed448', 'EdDSA']);
/** An algorithm that the library does not know is named by its object identifier. */
const md5WithRsa = '1.2.840.113549.1.1.4';

/** The hash function of a signature; undefined where the algorithm has it built in. An algorithm that is not known stands for its own. */
export function signatureHashOf({ name, hash: used }: SignatureAlgorithm): string | undefined {
  if (used !== undefined || withBuiltInHash.has(name)) return used?.name;
  return name === md5WithRsa ? 'MD5' : name;
}

/** A name of a native certificate as one line; empty for none. */
export function nameText(name: string | undefined): string {
  return (name ?? '').replaceAll('\n', ', ');
}

/** DER of a name in Base64, for comparing. */
export function nameDer(name: x509.Name): string {
  return Buffer.from(name.toArrayBuffer()).toString('base64');
}

/** A serial number in lower-case hexadecimal without leading zeros. */
export function canonicalSerialNumber(hex: string): string {
  return hex.toLowerCase().replace(/^0+(?=.)/, '');
}

/** RFC 5280 §4.2.1.6. Read from the bytes, as kinds of names that a library does not know must not hide the others. */
function alternativeNames(certificate: x509.X509Certificate): { tag: number; text: string }[] {
  const extension = certificate.extensions.find(({ type }) => type === subjectAlternativeName);
  if (extension === undefined) return [];
  const [sequence, ...rest] = readDerElements(new Uint8Array(extension.value));
  if (sequence?.tag !== 0x30 || rest.length > 0) throw new Error('malformed alternative names');
  return readDerElements(sequence.content).map(({ tag, content }) => ({
    tag,
    text: Buffer.from(content).toString('latin1'),
  }));
}

/** An element of DER (X.690). */
export interface DerElement {
  readonly tag: number;
  readonly content: Uint8Array;
  /** Tag, length and content. */
  readonly whole: Uint8Array;
}

/** The elements that stand one after the other in `bytes`. Throws an Error when a length does not fit, or is longer than it needs to be. */
export function readDerElements(bytes: Uint8Array): DerElement[] {
  const elements: DerElement[] = [];
  for (let start = 0; start < bytes.length; ) {
    const element = readElement(bytes.subarray(start));
    elements.push(element);
    start += element.whole.length;
  }
  return elements;
}

function readElement(bytes: Uint8Array): DerElement {
  const [tag, first] = bytes;
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) throw new Error('malformed DER');
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  if (first === 0x80 || lengthBytes > 4 || bytes.length < 2 + lengthBytes) throw new Error('malformed DER length');
  let length = lengthBytes === 0 ? first : 0;
  for (let index = 0; index < lengthBytes; index++) length = length * 256 + bytes[2 + index]!;
  if (lengthBytes > 0 && length < (lengthBytes === 1 ? 0x80 : 256 ** (lengthBytes - 1)))
    throw new Error('malformed DER length');
  const start = 2 + lengthBytes;
  if (bytes.length < start + length) throw new Error('truncated DER');
  return { tag, content: bytes.subarray(start, start + length), whole: bytes.subarray(0, start + length) };
}
