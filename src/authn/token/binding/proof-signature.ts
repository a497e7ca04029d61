// Signatures of DPoP proofs (RFC 7518 §3, RFC 8037 §3.1), verified on the thread pool.
import { constants, type KeyObject, type VerifyKeyObjectInput, verify } from 'node:crypto';

/** Verifies the signature of a signing input; never throws. */
export type SignatureVerifier = (signed: Buffer, signature: Buffer) => Promise<boolean>;

interface Algorithm {
  readonly digest: string | null;
  readonly padding?: Pick<VerifyKeyObjectInput, 'padding' | 'saltLength'>;
  /** Of each of the two numbers of an ECDSA signature. */
  readonly numberBytes?: number;
}

const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
const algorithms: Readonly<Record<string, Algorithm>> = {
  RS256: { digest: 'sha256' },
  RS384: { digest: 'sha384' },
  RS512: { digest: 'sha512' },
  PS256: { digest: 'sha256', padding: pss },
  PS384: { digest: 'sha384', padding: pss },
  PS512: { digest: 'sha512', padding: pss },
  ES256: { digest: 'sha256', numberBytes: 32 },
  ES384: { digest: 'sha384', numberBytes: 48 },
  ES512: { digest: 'sha512', numberBytes: 66 },
  EdDSA: { digest: null },
  Ed25519: { digest: null },
};

/** Creates the verifier of one key, with this algorithm and no other. The key must fit it. */
export function createSignatureVerifier(key: KeyObject, algorithm: string): SignatureVerifier {
  const { digest, padding, numberBytes } = algorithms[algorithm]!;
  // Node takes longer for a key inside an object.
  const input = padding === undefined ? key : { key, ...padding };
  return (signed, signature) => {
    const encoded = numberBytes === undefined ? signature : derSignature(signature, numberBytes);
    if (encoded === undefined) return Promise.resolve(false);
    return new Promise((resolve) => verify(digest, signed, input, encoded, (_error, valid) => resolve(valid === true)));
  };
}

/**
 * The two numbers of an ECDSA signature in DER (RFC 3279 §2.2.3); undefined where their length is not that of the curve (RFC 7518 §3.4). Node also takes
 * the form of RFC 7518, as `ieee-p1363`, but more slowly.
 */
function derSignature(signature: Buffer, numberBytes: number): Buffer | undefined {
  if (signature.length !== 2 * numberBytes) return undefined;
  // From its end on: the length of what follows stands before it.
  const der = Buffer.allocUnsafe(2 * (numberBytes + 3) + 3);
  const second = putInteger(der, der.length, signature, numberBytes);
  let start = putInteger(der, second, signature.subarray(0, numberBytes), 0);
  const length = der.length - start;
  der[--start] = length;
  if (length >= 0x80) der[--start] = 0x81;
  der[--start] = 0x30;
  return der.subarray(start);
}

/** Puts the number that begins at `from` in front of `end`. Gives where it begins. */
function putInteger(der: Buffer, end: number, number: Buffer, from: number): number {
  let first = from;
  while (first < number.length - 1 && number[first] === 0) first++;
  let start = end - (number.length - first);
  number.copy(der, start, first);
  if (number[first]! >= 0x80) der[--start] = 0;
  der[start - 1] = end - start;
  der[start - 2] = 2;
  return start - 2;
}
