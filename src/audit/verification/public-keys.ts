// Public keys of signed heads: PEM (RFC 7468) and JWKS (RFC 7517) files.
import { createPublicKey, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileProblem } from '../../errors.ts';
import { thumbprintOf } from '../../jwk-thumbprint.ts';
import { parsePemBlocks } from '../../pem.ts';
import { canSignHeads, type PublicKeys } from '../heads/signed-head.ts';

/** The keys of all files. Throws an Error with a public message when a file holds none, or one that cannot have signed a head. */
export async function readPublicKeys(paths: readonly string[]): Promise<PublicKeys> {
  const keys = new Map<string, KeyObject>();
  for (const path of paths) {
    try {
      for (const key of parseKeys(await readFile(path, 'utf8'))) keys.set(thumbprintOf(key), key);
    } catch (cause) {
      throw new Error(`${path}: ${fileProblem(cause)}`, { cause });
    }
  }
  return keys;
}

function parseKeys(text: string): KeyObject[] {
  const keys = text.trimStart().startsWith('{') ? keysOfSet(text) : keysOfPem(text);
  if (keys.length === 0) throw new Error('the file holds no public key');
  if (!keys.every(canSignHeads))
    throw new Error('heads are signed by keys of Ed25519 or P-256, and this is another one');
  return keys;
}

function keysOfPem(text: string): KeyObject[] {
  return parsePemBlocks(text).map(({ label, text: block }) => {
    if (label === 'PUBLIC KEY') return readable(() => createPublicKey(block));
    if (!label.endsWith('PRIVATE KEY')) throw new Error(`it holds "${label}", and not "PUBLIC KEY"`);
    throw new Error('it holds the private key; `openssl pkey -in FILE -pubout` prints the public one');
  });
}

/** Of a key set those that can sign heads: one that is published may hold others too. */
function keysOfSet(text: string): KeyObject[] {
  const { keys } = readable(() => JSON.parse(text)) as { keys?: unknown };
  if (!Array.isArray(keys)) throw new Error('it is no JWKS: it lacks a list "keys"');
  return keys.map((jwk) => readable(() => createPublicKey({ key: jwk, format: 'jwk' }))).filter(canSignHeads);
}

function readable<T>(read: () => T): T {
  try {
    return read();
  } catch {
    // OpenSSL's words are for programmers.
    throw new Error('it holds no public key that can be read');
  }
}
