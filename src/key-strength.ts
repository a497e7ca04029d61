// Strength of the keys and hash functions that signatures are made and verified with.
import type { KeyObject } from 'node:crypto';

export const minModulusBits = 2048;
/** Beyond this one signature takes too long. */
export const maxModulusBits = 8192;
/** NIST SP 800-56B §6.2. */
export const minExponent = 65_537n;
/** The curves of ECDSA, by their names in OpenSSL and in JWK (RFC 7518 §6.2.1.1). */
export const curves: Readonly<Record<string, string>> = {
  prime256v1: 'P-256',
  secp384r1: 'P-384',
  secp521r1: 'P-521',
};

/** Of certificates and revocation lists. */
export const strongHashes: ReadonlySet<string> = new Set(['SHA-256', 'SHA-384', 'SHA-512']);

/** Why this RSA key must not sign; undefined when it may. */
export function rsaWeakness({ asymmetricKeyDetails: details }: KeyObject): string | undefined {
  const { modulusLength = 0, publicExponent = 0n } = details ?? {};
  if (modulusLength < minModulusBits || modulusLength > maxModulusBits) {
    return `holds an RSA key of ${modulusLength} bits; between ${minModulusBits} and ${maxModulusBits} are accepted`;
  }
  return publicExponent < minExponent ? 'holds an RSA key with a weak public exponent' : undefined;
}

/** True when signatures of this key may be believed. */
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
