// Server certificates and private keys out of PEM files: what cannot be read is an error, never an empty list.
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';

const certificateBlock = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

/** The certificates of a PEM file, at least one; other blocks may stand between them. Throws an Error with a public message. */
export function parseCertificates(pem: Buffer): X509Certificate[] {
  const blocks = pem.toString('latin1').match(certificateBlock);
  if (blocks === null) throw new Error('the file holds no PEM certificate');
  return blocks.map((block) => {
    try {
      return new X509Certificate(block);
    } catch {
      throw new Error('the file holds a certificate that cannot be read');
    }
  });
}

/** The private key of a PEM file. Throws an Error with a public message. */
export function parsePrivateKey(pem: Buffer): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    throw new Error('the file holds no PEM private key, or an encrypted one');
  }
}
