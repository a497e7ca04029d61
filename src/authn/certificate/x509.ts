// X.509 certificates (RFC 5280), parsed from their DER and never from a printed name.
import { hash, type KeyObject, type X509Certificate } from 'node:crypto';
import { certificateFromDer } from '../../pem.ts';
import {
  bitsOf,
  type DerElement,
  flagOf,
  identifierOf,
  insideOf,
  integerOf,
  itemsOf,
  only,
  readDerElements,
  textOf,
  timeOf,
} from './der.ts';
import { parseSignatureAlgorithm } from './signature-algorithm.ts';

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

const keyUsage = '2.5.29.15';
const subjectAlternativeName = '2.5.29.17';
const basicConstraints = '2.5.29.19';
const extendedKeyUsage = '2.5.29.37';
const commonName = '2.5.4.3';
const certificateExtensionsTag = 0xa3;
const versionTag = 0xa0;
const dnsNameTag = 0x82;
const uriTag = 0x86;
/** Extensions whose meaning is enforced here, or by OpenSSL at the handshake (constraints and policies). */
const constraints = ['2.5.29.30', '2.5.29.36', '2.5.29.54'];
const knownExtensions = new Set([
  '2.5.29.14',
  keyUsage,
  subjectAlternativeName,
  '2.5.29.18',
  basicConstraints,
  '2.5.29.30',
  '2.5.29.31',
  '2.5.29.32',
  '2.5.29.33',
  '2.5.29.35',
  '2.5.29.36',
  extendedKeyUsage,
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
  try {
    return parse(native);
  } catch {
    return undefined;
  }
}

/** Parses the certificate in these bytes. Undefined when they are none, more than one, or one that `parseCertificate` cannot read. */
export function parseCertificateDer(der: Buffer): ParsedCertificate | undefined {
  try {
    return parse(certificateFromDer(der));
  } catch {
    return undefined;
  }
}

/** RFC 5280 §4.1. OpenSSL has read it already, and so knows that every part of it is there. */
function parse(native: X509Certificate): ParsedCertificate {
  const [body, algorithm] = itemsOf(only(readDerElements(native.raw)));
  const parts = itemsOf(body);
  if (parts[0]?.tag === versionTag) parts.shift();
  const [serialNumber, , issuer, validity, subject] = parts;
  const [notBefore, notAfter] = itemsOf(validity);
  const extensions = parseExtensions(insideOf(parts.find(({ tag }) => tag === certificateExtensionsTag)));
  const contentOf = (type: string) => extensions.get(type)?.value;
  const [ca, pathLength] = constraintsOf(contentOf(basicConstraints));
  const names = alternativeNames(contentOf(subjectAlternativeName));
  const [usage, purposes] = [contentOf(keyUsage), contentOf(extendedKeyUsage)];
  return {
    native,
    fingerprint: `sha256:${hash('sha256', native.raw, 'hex')}`,
    serialNumber: serialNumberOf(serialNumber),
    subjectDer: nameDer(subject),
    issuerDer: nameDer(issuer),
    commonNames: itemsOf(subject).flatMap(commonNamesOf),
    dnsNames: names.filter(({ tag }) => tag === dnsNameTag).map(({ text }) => text),
    uris: names.filter(({ tag }) => tag === uriTag).map(({ text }) => text),
    notBefore: timeOf(notBefore),
    notAfter: timeOf(notAfter),
    ca: native.ca && ca,
    pathLength,
    keyUsage: usage && bitsOf(only(usage)),
    extendedKeyUsage: purposes && itemsOf(only(purposes)).map(identifierOf),
    hasUnknownCriticalExtension: [...extensions].some(([type, { critical }]) => critical && !knownExtensions.has(type)),
    hasConstraints: constraints.some((type) => extensions.has(type)),
    signatureHash: parseSignatureAlgorithm(algorithm).hash,
    publicKey: native.publicKey,
  };
}

/** An extension (RFC 5280 §4.2). */
export interface Extension {
  readonly critical: boolean;
  readonly value: readonly DerElement[];
}

/** By their identifiers. Throws an Error when one stands there twice. */
export function parseExtensions(sequence: DerElement | undefined): ReadonlyMap<string, Extension> {
  const extensions = new Map<string, Extension>();
  for (const extension of sequence === undefined ? [] : itemsOf(sequence)) {
    const [type, ...parts] = itemsOf(extension);
    const value = parts.pop();
    const identifier = identifierOf(type);
    if (extensions.has(identifier)) throw new Error('an extension stands there twice');
    if (value?.tag !== 0x04 || parts.length > 1) throw new Error('malformed extension');
    extensions.set(identifier, {
      critical: parts.length > 0 && flagOf(parts[0]),
      value: readDerElements(value.content),
    });
  }
  return extensions;
}

/** RFC 5280 §4.2.1.9: an authority, and how many may follow. */
function constraintsOf(value: readonly DerElement[] | undefined): [boolean, number | undefined] {
  if (value === undefined) return [false, undefined];
  const parts = itemsOf(only(value));
  const ca = parts[0]?.tag === 0x01 && flagOf(parts.shift());
  return [ca, parts.length === 0 ? undefined : integerOf(only(parts))];
}

function commonNamesOf(relativeName: DerElement): string[] {
  return readDerElements(relativeName.content).flatMap((attribute) => {
    const [type, value] = itemsOf(attribute);
    return identifierOf(type) === commonName ? [textOf(value)] : [];
  });
}

/** A name of a native certificate as one line; empty for none. */
export function nameText(name: string | undefined): string {
  return (name ?? '').replaceAll('\n', ', ');
}

/** DER of a name in Base64, for comparing. */
export function nameDer(name: DerElement | undefined): string {
  itemsOf(name);
  return Buffer.from(name!.whole).toString('base64');
}

/** As `canonicalSerialNumber` writes it. */
export function serialNumberOf(serialNumber: DerElement | undefined): string {
  if (serialNumber?.tag !== 0x02) throw new Error('malformed serial number');
  return canonicalSerialNumber(Buffer.from(serialNumber.content).toString('hex'));
}

/** A serial number in lower-case hexadecimal without leading zeros. */
export function canonicalSerialNumber(hex: string): string {
  return hex.toLowerCase().replace(/^0+(?=.)/, '');
}

/** RFC 5280 §4.2.1.6. Read from the bytes, as kinds of names that a library does not know must not hide the others. */
function alternativeNames(value: readonly DerElement[] | undefined): { tag: number; text: string }[] {
  if (value === undefined) return [];
  return itemsOf(only(value)).map(({ tag, content }) => ({ tag, text: Buffer.from(content).toString('latin1') }));
}
