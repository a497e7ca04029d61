// Cipher suites of the public listener: a modern default, or a list in the form of OpenSSL.
import { createSecureContext } from 'node:tls';

const tls13 = 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256';
/** Of TLS 1.2 only suites with forward secrecy and authenticated encryption (RFC 9325 §4.2). */
const modern = `${tls13}:ECDHE+AESGCM:ECDHE+CHACHA20`;

/** The list for Node of `modern` or an OpenSSL list. One without suites of TLS 1.3 is, as in OpenSSL, about TLS 1.2: Node would switch 1.3 off. */
export function cipherList(ciphers: string): string {
  if (ciphers === 'modern') return modern;
  return /(?:^|:)TLS_/.test(ciphers) ? ciphers : `${tls13}:${ciphers}`;
}

/** True for a list that OpenSSL takes. */
export function isCipherList(ciphers: string): boolean {
  try {
    createSecureContext({ ca: [], ciphers: cipherList(ciphers) });
    return true;
  } catch {
    return false;
  }
}
