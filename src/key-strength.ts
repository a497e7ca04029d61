// Strength of signature keys and hash functions (NIST SP 800-56B §6.2, RFC 7518).
import type { KeyObject } from 'node:crypto';

/** Size of an RSA modulus. A larger one makes signatures too slow. */
export const minModulusBits = 2048;
export const maxModulusBits = 8192;
/** Smallest RSA public exponent (NIST SP 800-56B §6.2). */
export const minExponent = 65_537n;
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
