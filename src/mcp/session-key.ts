// Keys of session ids, as their files hold them: at least 32 random bytes in base64 or hexadecimal.
import { createSecretKey, type KeyObject } from 'node:crypto';

const minBytes = 32;
/** 32 random bytes have fewer different ones about once in 10^15. */
const minDifferentBytes = 16;

const hexadecimal = /^(?:[0-9A-Fa-f]{2})+$/;
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/**
 * Reads a key file: at least 32 random bytes in base64 or hexadecimal, line breaks and blanks ignored, as `openssl rand -base64 32` prints them.
 * Text that is both is hexadecimal. Throws an Error with a public message that shows nothing of the content.
 */
export function parseSessionKey(content: Buffer): KeyObject {
  const text = content.toString('latin1').replace(/[ \t\r\n]/g, '');
  if (text === '') throw new Error(`holds no session key: it is empty; ${howToMake}`);
  const bytes = decode(text);
  if (bytes === undefined) throw new Error(`holds no session key: it is neither base64 nor hexadecimal; ${howToMake}`);
  if (bytes.length < minBytes) throw new Error(`holds a session key of less than ${minBytes} bytes; ${howToMake}`);
  if (new Set(bytes).size < minDifferentBytes) {
    throw new Error(`holds a session key that is not random; ${howToMake}`);
  }
  return createSecretKey(bytes);
}

const howToMake = 'make one with `openssl rand -base64 32`';

function decode(text: string): Buffer | undefined {
  if (hexadecimal.test(text)) return Buffer.from(text, 'hex');
  return base64.test(text) ? Buffer.from(text, 'base64') : undefined;
}
