// X.509 certificates (RFC 5280), parsed from their DER and never from a printed name.
import { hash, type KeyObject, type X509Certificate } from 'node:crypto';
import type * as asn1 from '@peculiar/asn1-x509';
import { certificateFromDer } from '../../pem.ts';
import { type Asn1, loadAsn1, readDerElements } from './asn1.ts';
import { signatureAlgorithmOf } from './signature-algorithm.ts';

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
  /** `hash` of its `SignatureAlgorithm`. */
  readonly signatureHash: string | undefined;
  readonly publicKey: KeyObject;
}

/** Gives the same parsed object for the same certificate object; undefined when it cannot be read. */
export type ReadCertificate = (certificate: X509Certificate) => ParsedCertificate | undefined;

const commonName = '2.5.4.3';
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
  const library = loadAsn1();
  try {
    return parse(native, library);
  } catch {
    return undefined;
  }
}

/** Parses the certificate in these bytes. Undefined when they are none, more than one, or one that `parseCertificate` cannot read. */
export function parseCertificateDer(der: Buffer): ParsedCertificate | undefined {
  const library = loadAsn1();
  try {
    return parse(certificateFromDer(der), library);
  } catch {
    return undefined;
  }
}

function parse(native: X509Certificate, library: Asn1): ParsedCertificate {
  const { tbsCertificate, signatureAlgorithm } = library.AsnConvert.parse(native.raw, library.types.Certificate);
  const { subject, issuer, serialNumber, validity } = tbsCertificate;
  const extensions = readExtensions(tbsCertificate.extensions, library);
  const basic = extensions.value(library.types.BasicConstraints);
  const names = alternativeNames(extensions.all);
  return {
    native,
    fingerprint: `sha256:${hash('sha256', native.raw, 'hex')}`,
    serialNumber: canonicalSerialNumber(Buffer.from(serialNumber).toString('hex')),
    subjectDer: nameDer(subject, library),
    issuerDer: nameDer(issuer, library),
    commonNames: subject.flatMap((attributes) =>
      attributes.filter(({ type }) => type === commonName).map(({ value }) => value.toString()),
    ),
    dnsNames: names.filter(({ tag }) => tag === dnsNameTag).map(({ text }) => text),
    uris: names.filter(({ tag }) => tag === uriTag).map(({ text }) => text),
    notBefore: validity.notBefore.getTime().getTime(),
    notAfter: validity.notAfter.getTime().getTime(),
    ca: native.ca && basic?.cA === true,
    pathLength: basic?.pathLenConstraint,
    keyUsage: extensions.value(library.types.KeyUsage)?.toNumber(),
    extendedKeyUsage: extensions.value(library.types.ExtendedKeyUsage)?.map(String),
    hasUnknownCriticalExtension: extensions.all.some(
      ({ extnID, critical }) => critical && !knownExtensions.has(extnID),
    ),
    hasConstraints: extensions.all.some(({ extnID }) => constraints.includes(extnID)),
    signatureHash: signatureAlgorithmOf(signatureAlgorithm, library).hash,
    publicKey: native.publicKey,
  };
}

interface Extensions {
  readonly all: readonly asn1.Extension[];
  /** The value of the extension of this type; undefined where there is none. */
  value<T>(type: new () => T): T | undefined;
}

/** Extensions, each of a usual type read to its end. Throws where one is malformed or stands there twice. */
export function readExtensions(all: readonly asn1.Extension[] = [], { types, AsnConvert }: Asn1): Extensions {
  const usual: Readonly<Record<string, new () => unknown>> = {
    [types.id_ce_subjectKeyIdentifier]: types.SubjectKeyIdentifier,
    [types.id_ce_keyUsage]: types.KeyUsage,
    [types.id_ce_subjectAltName]: types.SubjectAlternativeName,
    [types.id_ce_issuerAltName]: types.IssueAlternativeName,
    [types.id_ce_basicConstraints]: types.BasicConstraints,
    [types.id_ce_cRLDistributionPoints]: types.CRLDistributionPoints,
    [types.id_ce_certificatePolicies]: types.CertificatePolicies,
    [types.id_ce_authorityKeyIdentifier]: types.AuthorityKeyIdentifier,
    [types.id_ce_extKeyUsage]: types.ExtendedKeyUsage,
    [types.id_pe_authorityInfoAccess]: types.AuthorityInfoAccessSyntax,
  };
  const values = new Map<unknown, unknown>();
  for (const { extnID, extnValue } of all) {
    const type = usual[extnID];
    if (type !== undefined) values.set(type, AsnConvert.parse(extnValue.buffer, type));
  }
  if (new Set(all.map(({ extnID }) => extnID)).size !== all.length) throw new Error('an extension stands there twice');
  return { all, value: <T>(type: new () => T) => values.get(type) as T | undefined };
}

/** A name of a native certificate as one line; empty for none. */
export function nameText(name: string | undefined): string {
  return (name ?? '').replaceAll('\n', ', ');
}

/** DER of a name in Base64, for comparing. */
export function nameDer(name: asn1.Name, { AsnConvert }: Asn1): string {
  return Buffer.from(AsnConvert.serialize(name)).toString('base64');
}

/** A serial number in lower-case hexadecimal without leading zeros. */
export function canonicalSerialNumber(hex: string): string {
  return hex.toLowerCase().replace(/^0+(?=.)/, '');
}

/** RFC 5280 §4.2.1.6. Read from the bytes, as kinds of names that a library does not know must not hide the others. */
function alternativeNames(extensions: readonly asn1.Extension[]): { tag: number; text: string }[] {
  const extension = extensions.find(({ extnID }) => extnID === subjectAlternativeName);
  if (extension === undefined) return [];
  const [sequence, ...rest] = readDerElements(new Uint8Array(extension.extnValue.buffer));
  if (sequence?.tag !== 0x30 || rest.length > 0) throw new Error('malformed alternative names');
  return readDerElements(sequence.content).map(({ tag, content }) => ({
    tag,
    text: Buffer.from(content).toString('latin1'),
  }));
}
