// JWK thumbprint (RFC 7638) with SHA-256, and the members that it is taken of.
import { createPublicKey, hash, type KeyObject } from 'node:crypto';

/** RFC 7638 §3.2: the members that make the public half of a key, in alphabetical order, and no others. Of RSA, EC and OKP keys. */
export function publicMembers(key: KeyObject): Record<string, string> {
  const { kty, crv, e, n, x, y } = (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'jwk' });
  const members = kty === 'RSA' ? { e, kty, n } : kty === 'EC' ? { crv, kty, x, y } : { crv, kty, x };
  return members as Record<string, string>;
}

/** The thumbprint of a key's public half, in base64url. */
export function thumbprintOf(key: KeyObject): string {
  return hash('sha256', JSON.stringify(publicMembers(key)), 'base64url');
}
