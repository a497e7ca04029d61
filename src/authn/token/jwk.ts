// JSON Web Keys that may verify signatures (RFC 7517): weak, private and foreign ones of a key set are left out.
import { createPublicKey, hash, type KeyObject } from 'node:crypto';
import * as z from 'zod';
import { rsaNumbersWeakness } from '../../key-strength.ts';
import { isJsonObject } from './compact-jws.ts';

/** A signature algorithm (RFC 7518 §3.1, RFC 8037 §3.1) that may be configured. */
export const signatureAlgorithm = z.enum([
  ...(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const),
  ...(['ES256', 'ES384', 'ES512', 'EdDSA'] as const),
]);
export type SignatureAlgorithm = z.output<typeof signatureAlgorithm>;

/** A public key with its allowed algorithms. */
export interface VerificationKey {
  readonly kid: string | undefined;
  /** The `alg` values that this key may verify. */
  readonly algorithms: ReadonlySet<string>;
  readonly key: KeyObject;
  /** RFC 7638, SHA-256, in base64url. */
  readonly thumbprint: string;
}

/** The usable keys of a key set document. */
export interface KeySetDocument {
  readonly keys: readonly VerificationKey[];
  /** The number of refused keys by reason. */
  readonly refused: ReadonlyMap<string, number>;
}

type Jwk = Readonly<Record<string, unknown>>;

const maxKeys = 100;
const maxKidLength = 256;
const rsaAlgorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'];
const curveAlgorithms: Readonly<Record<string, readonly string[]>> = {
  'EC P-256': ['ES256'],
  'EC P-384': ['ES384'],
  'EC P-521': ['ES512'],
  'OKP Ed25519': ['EdDSA'],
};
const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv'];

/**
 * Reads a key set. Throws an Error when it is no key set, has more than 100 keys or none that can be used: such an answer is a
 * failure of the issuer, and the keys known before stay in force.
 */
export function parseKeySet(document: unknown): KeySetDocument {
  const list = isJsonObject(document) ? document.keys : undefined;
  if (!Array.isArray(list)) throw new Error('the key set has no "keys" array');
  if (list.length > maxKeys) throw new Error(`the key set has more than ${maxKeys} keys`);
  const refused = new Map<string, number>();
  const refuse = (why: string) => refused.set(why, (refused.get(why) ?? 0) + 1);
  const parsed: VerificationKey[] = [];
  for (const jwk of list) {
    const key = isJsonObject(jwk) ? parseVerificationKey(jwk) : 'not an object';
    if (typeof key === 'string') refuse(key);
    else parsed.push(key);
  }
  const keys = parsed.filter((key) => {
    const ambiguous = parsed.some((other) => other.kid === key.kid && other.thumbprint !== key.thumbprint);
    if (ambiguous && key.kid !== undefined) refuse('kid of several keys');
    return !ambiguous || key.kid === undefined;
  });
  if (keys.length === 0)
    throw new Error(`the key set has no usable key (${[...refused.keys()].join(', ') || 'empty'})`);
  return { keys, refused };
}

/** A public key that may verify signatures, or why it is refused. */
export function parseVerificationKey(jwk: Jwk): VerificationKey | string {
  const { kid, use, key_ops: operations, alg } = jwk;
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > maxKidLength)) return 'malformed kid';
  if (privateMembers.some((member) => member in jwk)) return 'private or symmetric';
  if (use !== undefined && use !== 'sig') return 'not for signatures';
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify')))
    return 'not for verifying';
  const algorithms = algorithmsOf(jwk).filter((each) => alg === undefined || alg === each || isAlias(alg, each));
  if (algorithms.length === 0) return 'unsupported type or algorithm';
  const weakness = jwk.kty === 'RSA' ? weaknessOf(jwk) : undefined;
  if (weakness !== undefined) return weakness;
  const material = materialOf(jwk);
  try {
    const key = createPublicKey({ key: material, format: 'jwk' });
    const thumbprint = hash('sha256', JSON.stringify(material), 'base64url');
    return { kid, algorithms: new Set(algorithms), key, thumbprint };
  } catch {
    return 'malformed';
  }
}

function algorithmsOf(jwk: Jwk): readonly string[] {
  if (jwk.kty === 'RSA') return rsaAlgorithms;
  const name = `${String(jwk.kty)} ${String(jwk.crv)}`;
  return Object.hasOwn(curveAlgorithms, name) ? curveAlgorithms[name]! : [];
}

/** RFC 9864 gives EdDSA with Ed25519 a name of its own. */
function isAlias(alg: unknown, algorithm: string): boolean {
  return alg === 'Ed25519' && algorithm === 'EdDSA';
}

/** RFC 7638 §3.2: the members that make the key, and no others. */
function materialOf(jwk: Jwk): Record<string, string> {
  const members =
    jwk.kty === 'RSA' ? ['e', 'kty', 'n'] : jwk.kty === 'EC' ? ['crv', 'kty', 'x', 'y'] : ['crv', 'kty', 'x'];
  return Object.fromEntries(members.map((member) => [member, String(jwk[member])]));
}

function weaknessOf(jwk: Jwk): string | undefined {
  const modulus = unsigned(jwk.n);
  const exponent = unsigned(jwk.e);
  if (modulus === undefined || exponent === undefined) return 'malformed';
  return rsaNumbersWeakness(modulus, exponent);
}

function unsigned(value: unknown): bigint | undefined {
  if (typeof value !== 'string' || !/^[A-Za-z0-9_-]+$/.test(value)) return undefined;
  return BigInt(`0x${Buffer.from(value, 'base64url').toString('hex') || '0'}`);
}
