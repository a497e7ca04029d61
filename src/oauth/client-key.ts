// Private key of the gateway as an OAuth client (RFC 7523 §2.2, `private_key_jwt`).
import type { KeyObject, webcrypto } from 'node:crypto';
import { curves, rsaWeakness } from '../key-strength.ts';
import { parsePrivateKey } from '../pem.ts';

/**
 * Reads a PEM file. The kind of key decides the algorithm: RS256, ES256, ES384, ES512 or Ed25519.
 * Throws an Error with a public message when it holds no private key, or none that is fit for signing.
 */
export function parseClientKey(pem: Buffer): webcrypto.CryptoKey {
  const key = parsePrivateKey(pem);
  return key.toCryptoKey(algorithmOf(key), false, ['sign']);
}

function algorithmOf(key: KeyObject): webcrypto.AlgorithmIdentifier | webcrypto.EcKeyImportParams {
  const { namedCurve = '' } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case 'rsa': {
      const weakness = rsaWeakness(key);
      if (weakness !== undefined) throw new Error(weakness);
      return { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } as webcrypto.RsaHashedImportParams;
    }
    case 'ec':
      if (!Object.hasOwn(curves, namedCurve)) throw new Error('an EC key must be on P-256, P-384 or P-521');
      return { name: 'ECDSA', namedCurve: curves[namedCurve]! };
    case 'ed25519':
      return { name: 'Ed25519' };
    default:
      throw new Error('expected an RSA, EC or Ed25519 key');
  }
}
