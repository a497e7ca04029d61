// Strength of signature keys and hash functions (NIST SP 800-56B §6.2, RFC 7518).
import type { KeyObject } from 'node:crypto';

/** Size of an RSA modulus. A larger one makes signatures too slow. */
export const minModulusBits = 2048;
const maxModulusBits = 8192;
/** Smallest RSA public exponent (NIST SP 800-56B §6.2). */
const minExponent = 65_537n;
/** Curves of ECDSA: from the name in OpenSSL to the name in a JWK (RFC 7518 §6.2.1.1). */
export const curves: Readonly<Record<string, string>> = {
  prime256v1: 'P-256',
  secp384r1: 'P-384',
  secp521r1: 'P-521',
};

/** Hash functions accepted in signatures of certificates and CRLs. */
export const strongHashes: ReadonlySet<string> = new Set(['SHA-256', 'SHA-384', 'SHA-512']);

/** The weakness of an RSA signing key, as the end of a message; undefined for a strong one. */
export function rsaWeakness({ asymmetricKeyDetails: details }: KeyObject): string | undefined {
  const { modulusLength = 0, publicExponent = 0n } = details ?? {};
  if (modulusLength < minModulusBits || modulusLength > maxModulusBits) {
    return `holds an RSA key of ${modulusLength} bits; between ${minModulusBits} and ${maxModulusBits} are accepted`;
  }
  return publicExponent < minExponent ? 'holds an RSA key with a weak public exponent' : undefined;
}

/** True for a key whose signatures are accepted. */
export function isStrongKey({ asymmetricKeyType, asymmetricKeyDetails: details }: KeyObject): boolean {
  switch (asymmetricKeyType) {
    case 'rsa':
    case 'rsa-pss':
      return (details?.modulusLength ?? 0) >= minModulusBits;
    case 'ec':
      return Object.hasOwn(curves, details?.namedCurve ?? '');
    default:
      return asymmetricKeyType === 'ed25519' || asymmetricKeyType === 'ed448';
  }
}

/** Keeps verification cheap. */
const maxExponent = 2n ** 32n;
const smallPrimes = [
  3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113,
  127, 131, 137, 139, 149, 151, 157, 163, 167,
].map(BigInt);

/** The weakness of an RSA verification key, from its public numbers; undefined for a strong one. */
export function rsaNumbersWeakness(modulus: bigint, exponent: bigint): string | undefined {
  const bits = modulus.toString(2).length;
  if (bits < minModulusBits || bits > maxModulusBits || [2n, ...smallPrimes].some((prime) => modulus % prime === 0n)) {
    return 'modulus too short, too long or with small factors';
  }
  if (exponent < minExponent || exponent >= maxExponent || exponent % 2n === 0n) return 'weak public exponent';
  return hasRocaFingerprint(modulus) ? 'ROCA' : undefined;
}

/**
 * CVE-2017-15361: the library behind these keys built primes from powers of 65537, so that the modulus is such a power modulo every
 * small prime. A good key looks like that about once in 2^27.
 */
export function hasRocaFingerprint(modulus: bigint): boolean {
  return smallPrimes.every((prime) => isPowerOf65537(modulus % prime, prime));
}

function isPowerOf65537(residue: bigint, prime: bigint): boolean {
  let power = 1n;
  do {
    if (power === residue) return true;
    power = (power * 65_537n) % prime;
  } while (power !== 1n);
  return false;
}
