// Assertion keys: private keys of PEM files or of the process, and the public key set (RFC 7517).
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { publicMembers, thumbprintOf } from '../../jwk-thumbprint.ts';
import { minModulusBits, rsaWeakness } from '../../key-strength.ts';
import type { AssertionAlgorithm } from './facts.ts';

/** A signing key and its public half. */
export interface AssertionKey {
  /** The thumbprint of the key (RFC 7638): equal wherever the same key is used. */
  readonly kid: string;
  readonly algorithm: AssertionAlgorithm;
  readonly privateKey: KeyObject;
  /** As it is published; holds nothing private. */
  readonly jwk: Readonly<Record<string, string>>;
}

/** Keys of the process, one for each algorithm, made when they are first asked for. They outlive reloads, not the process. */
export type EphemeralKeys = (algorithm: AssertionAlgorithm) => AssertionKey;

const generationCommands: Readonly<Record<AssertionAlgorithm, string>> = {
  RS256: 'openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072',
  ES256: 'openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256',
  EdDSA: 'openssl genpkey -algorithm ed25519',
};

/** The key of an assertion that is signed with `algorithm`. Throws an Error with a public message when this key cannot, or is too weak. */
export function assertionKeyOf(privateKey: KeyObject, algorithm: AssertionAlgorithm): AssertionKey {
  const unfit = unfitReason(privateKey, algorithm);
  if (unfit !== undefined) throw new Error(`${unfit}; make one with \`${generationCommands[algorithm]}\``);
  return describe(privateKey, algorithm);
}

/** Keys of the process, made on first use. */
export function createEphemeralKeys(): EphemeralKeys {
  const keys = new Map<AssertionAlgorithm, AssertionKey>();
  return (algorithm) => {
    const known = keys.get(algorithm);
    if (known !== undefined) return known;
    const created = describe(generate(algorithm), algorithm);
    keys.set(algorithm, created);
    return created;
  };
}

/** The key set of all these keys as JSON, each once. Undefined when there are none. */
export function publishedKeySet(keys: readonly AssertionKey[]): string | undefined {
  const unique = new Map(keys.map((key) => [key.kid, key.jwk]));
  return unique.size === 0 ? undefined : JSON.stringify({ keys: [...unique.values()] });
}

function unfitReason(key: KeyObject, algorithm: AssertionAlgorithm): string | undefined {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  switch (algorithm) {
    case 'RS256':
      return type === 'rsa' ? rsaWeakness(key) : 'holds no RSA key, which algorithm RS256 needs';
    case 'ES256':
      return type === 'ec' && details?.namedCurve === 'prime256v1'
        ? undefined
        : 'holds no key of the curve P-256, which algorithm ES256 needs';
    case 'EdDSA':
      return type === 'ed25519' ? undefined : 'holds no Ed25519 key, which algorithm EdDSA needs';
    default:
      return algorithm satisfies never;
  }
}

function generate(algorithm: AssertionAlgorithm): KeyObject {
  switch (algorithm) {
    case 'RS256':
      return generateKeyPairSync('rsa', { modulusLength: minModulusBits }).privateKey;
    case 'ES256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    case 'EdDSA':
      return generateKeyPairSync('ed25519').privateKey;
    default:
      return algorithm satisfies never;
  }
}

function describe(privateKey: KeyObject, algorithm: AssertionAlgorithm): AssertionKey {
  const kid = thumbprintOf(privateKey);
  return { kid, algorithm, privateKey, jwk: { ...publicMembers(privateKey), kid, use: 'sig', alg: algorithm } };
}
