// The private key by which the gateway authenticates as an OAuth client (RFC 7523 §2.2, `private_key_jwt`).
import { createPrivateKey, type KeyObject, type webcrypto } from 'node:crypto';

const minModulusBits = 2048;
const curves: Readonly<Record<string, string>> = { prime256v1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' };

/**
 * Reads a PEM file. The kind of key decides the algorithm: RS256, ES256, ES384, ES512 or Ed25519.
 * Throws an Error with a public message when it holds no private key, or none that is fit for signing.
 */
export function parseClientKey(pem: Buffer): webcrypto.CryptoKey {
  const key = readPrivateKey(pem);
  return key.toCryptoKey(algorithmOf(key), false, ['sign']);
}

function readPrivateKey(pem: Buffer): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    throw new Error('the file holds no PEM private key, or an encrypted one');
  }
}

function algorithmOf(key: KeyObject): webcrypto.AlgorithmIdentifier | webcrypto.EcKeyImportParams {
  const { modulusLength = 0, namedCurve = '' } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case 'rsa':
      if (modulusLength < minModulusBits) throw new Error(`an RSA key needs at least ${minModulusBits} bits`);
      return { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } as webcrypto.RsaHashedImportParams;
    case 'ec':
      if (!Object.hasOwn(curves, namedCurve)) throw new Error('an EC key must be on P-256, P-384 or P-521');
      return { name: 'ECDSA', namedCurve: curves[namedCurve]! };
    case 'ed25519':
      return { name: 'Ed25519' };
    default:
      throw new Error('expected an RSA, EC or Ed25519 key');
  }
}
