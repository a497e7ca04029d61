// Signature algorithms of certificates and revocation lists (RFC 4055, RFC 5758, RFC 8410).
import type { X509Certificate } from 'node:crypto';
import type * as asn1 from '@peculiar/asn1-x509';
import { type Asn1, readDerElements } from './asn1.ts';

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

/** A signature algorithm (RFC 4055, RFC 5758, RFC 8410). */
export interface SignatureAlgorithm {
  /** Its hash function; undefined where it has it built in. An algorithm that is not known stands for its own. */
  readonly hash: string | undefined;
  readonly isPss: boolean;
}

const pss = '1.2.840.113549.1.1.10';
const sha1 = '1.3.14.3.2.26';
/** Ed25519 and Ed448. */
const withBuiltInHash = new Set(['1.3.101.112', '1.3.101.113']);
/** RSA and ECDSA, by object identifier. */
const signatureHashes: Readonly<Record<string, string | undefined>> = {
  '1.2.840.113549.1.1.4': 'MD5',
  '1.2.840.113549.1.1.5': 'SHA-1',
  '1.2.840.113549.1.1.11': 'SHA-256',
  '1.2.840.113549.1.1.12': 'SHA-384',
  '1.2.840.113549.1.1.13': 'SHA-512',
  '1.2.840.10045.4.1': 'SHA-1',
  '1.2.840.10045.4.3.2': 'SHA-256',
  '1.2.840.10045.4.3.3': 'SHA-384',
  '1.2.840.10045.4.3.4': 'SHA-512',
};
/** Hash functions that the parameters of RSA-PSS may name. */
const pssHashes: Readonly<Record<string, string | undefined>> = {
  [sha1]: 'SHA-1',
  '2.16.840.1.101.3.4.2.1': 'SHA-256',
  '2.16.840.1.101.3.4.2.2': 'SHA-384',
  '2.16.840.1.101.3.4.2.3': 'SHA-512',
};

/** Throws where the parameters of RSA-PSS are malformed. */
export function signatureAlgorithmOf(
  { algorithm, parameters }: asn1.AlgorithmIdentifier,
  library: Asn1,
): SignatureAlgorithm {
  if (withBuiltInHash.has(algorithm)) return { hash: undefined, isPss: false };
  if (algorithm !== pss) return { hash: signatureHashes[algorithm] ?? algorithm, isPss: false };
  const hash = parameters ? pssHashOf(new Uint8Array(parameters), library) : pss;
  return { hash: pssHashes[hash] ?? hash, isPss: true };
}

/** The hash function of RSASSA-PSS-params (RFC 4055 §3.1): a sequence of up to four fields with the tags [0] to [3], the first of them the hash. */
function pssHashOf(parameters: Uint8Array, { types, AsnConvert }: Asn1): string {
  const [sequence, ...rest] = readDerElements(parameters);
  if (sequence?.tag !== 0x30 || rest.length > 0) throw new Error('malformed parameters of RSA-PSS');
  const fields = readDerElements(sequence.content);
  for (const [index, { tag }] of fields.entries()) {
    if (tag < 0xa0 || tag > 0xa3 || tag <= (fields[index - 1]?.tag ?? 0)) {
      throw new Error('malformed parameters of RSA-PSS');
    }
  }
  const stated = fields.find(({ tag }) => tag === 0xa0);
  return stated === undefined ? sha1 : AsnConvert.parse(stated.content, types.AlgorithmIdentifier).algorithm;
}
