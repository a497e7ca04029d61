// Sealed values in cookies (AES-256-GCM): what a browser keeps for the gateway and can neither read nor change.
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

/** Seals values with a key of this process. */
export interface Seal<T> {
  seal(value: T, untilMs: number): string;
  /** Undefined for what was not sealed here, was changed, or has ended. */
  open(text: string | undefined, nowMs: number): T | undefined;
}

const algorithm = 'aes-256-gcm';
const ivBytes = 12;
const tagBytes = 16;

/** Creates a seal with a new key. */
export function createSeal<T>(): Seal<T> {
  const key = randomBytes(32);
  return {
    seal(value, untilMs) {
      const iv = randomBytes(ivBytes);
      const cipher = createCipheriv(algorithm, key, iv, { authTagLength: tagBytes });
      const sealed = Buffer.concat([cipher.update(JSON.stringify({ value, untilMs })), cipher.final()]);
      return Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString('base64url');
    },
    open(text = '', nowMs) {
      const bytes = Buffer.from(text, 'base64url');
      if (bytes.length <= ivBytes + tagBytes) return undefined;
      try {
        const iv = bytes.subarray(0, ivBytes);
        const decipher = createDecipheriv(algorithm, key, iv, { authTagLength: tagBytes });
        decipher.setAuthTag(bytes.subarray(ivBytes, ivBytes + tagBytes));
        const opened = Buffer.concat([decipher.update(bytes.subarray(ivBytes + tagBytes)), decipher.final()]);
        const { untilMs, value } = JSON.parse(opened.toString()) as { readonly untilMs: number; readonly value: T };
        return nowMs < untilMs ? value : undefined;
      } catch {
        return undefined;
      }
    },
  };
}
