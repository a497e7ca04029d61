// Signed statements about an audit chain: its head, and a deletion by retention. Ed25519 (RFC 8032) or ECDSA with P-256 and SHA-256.
import { type KeyObject, sign, verify } from 'node:crypto';
import { thumbprintOf } from '../../jwk-thumbprint.ts';
import type { ChainHead } from '../hash-chain.ts';

/** The end of a chain, as one process states it. */
export interface Head {
  readonly instance: string;
  /** Of the last record. */
  readonly seq: number;
  readonly hash: string;
  /** The records up to this one that the process has written to the chain. */
  readonly count: number;
  /** RFC 3339, in UTC with milliseconds. */
  readonly time: string;
}

/** A head with the signature over it. */
export interface SignedHead extends Head {
  /** The thumbprint of the key (RFC 7638). */
  readonly key: string;
  /** In base64url; of ECDSA r and s, each in 32 bytes. */
  readonly signature: string;
}

/** The last head of one chain, and the place of the record that states it. */
export interface SinkHead extends SignedHead {
  /** The key of the chain's sink. */
  readonly sink: string;
  readonly record: ChainHead;
}

/** Records that retention deleted, as a process states it. */
export interface Deletion {
  readonly instance: string;
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly lastHash: string;
  readonly time: string;
}

/** A signing key and its thumbprint. */
export interface HeadKey {
  readonly id: string;
  readonly privateKey: KeyObject;
}

/** Public keys by their thumbprint. */
export type PublicKeys = ReadonlyMap<string, KeyObject>;

/** The result of the verification of one signature. */
export type SignatureResult = 'valid' | 'invalid' | 'unknown key';

/** The key that signs. Throws an Error with a public message for a key of another kind. */
export function headKeyOf(privateKey: KeyObject): HeadKey {
  if (!canSignHeads(privateKey))
    throw new Error(
      'holds neither an Ed25519 nor a P-256 key; make one with `openssl genpkey -algorithm ed25519 -out FILE`',
    );
  return { id: thumbprintOf(privateKey), privateKey };
}

/** True for keys of Ed25519 and P-256. */
export function canSignHeads({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): boolean {
  return type === 'ed25519' || (type === 'ec' && details?.namedCurve === 'prime256v1');
}

/** The text that the signature of a head covers: a line for each member, each with its newline. */
export function headText({ instance, seq, hash, count, time }: Head): string {
  return textOf('portcullis-audit-head-v1', instance, seq, hash, count, time);
}

/** The text that the signature of a retention record covers. */
export function deletionText({ instance, firstSeq, lastSeq, lastHash, time }: Deletion): string {
  return textOf('portcullis-audit-retention-v1', instance, firstSeq, lastSeq, lastHash, time);
}

function textOf(...lines: readonly (string | number)[]): string {
  return lines.map((line) => `${line}\n`).join('');
}

/** The signature over the text, in base64url. */
export function signText({ privateKey }: HeadKey, text: string): string {
  return sign(digestOf(privateKey), Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString(
    'base64url',
  );
}

/** Verifies a signature that names its key. */
export function verifyText(keys: PublicKeys, key: string, signature: string, text: string): SignatureResult {
  const found = keys.get(key);
  if (found === undefined) return 'unknown key';
  const bytes = Buffer.from(signature, 'base64url');
  const options = { key: found, dsaEncoding: 'ieee-p1363' } as const;
  try {
    return verify(digestOf(found), Buffer.from(text), options, bytes) ? 'valid' : 'invalid';
  } catch {
    // A signature of another length.
    return 'invalid';
  }
}

function digestOf({ asymmetricKeyType }: KeyObject): 'sha256' | null {
  return asymmetricKeyType === 'ec' ? 'sha256' : null;
}
