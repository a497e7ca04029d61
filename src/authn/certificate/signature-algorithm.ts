// Signature algorithms of certificates and revocation lists (RFC 3279, RFC 4055, RFC 5758, RFC 8410).
import { type DerElement, identifierOf, insideOf, itemsOf } from './der.ts';

/** An algorithm of signatures. */
export interface SignatureAlgorithm {
  /** Undefined where the algorithm has it built in. An algorithm that is not known stands for its own. */
  readonly hash: string | undefined;
  readonly isPss: boolean;
}

const rsaPss = '1.2.840.113549.1.1.10';
const signatureHashes: Readonly<Record<string, string | undefined>> = {
  '1.2.840.113549.1.1.4': 'MD5',
  '1.2.840.113549.1.1.5': 'SHA-1',
  '1.2.840.113549.1.1.11': 'SHA-256',
  '1.2.840.113549.1.1.12': 'SHA-384',
  '1.2.840.113549.1.1.13': 'SHA-512',
  '1.2.840.10045.4.1': 'SHA-1',
  '1.2.840.10045.4.3.2': 'SHA-256',
  '1.2.840.10045.4.3.3': 'SHA-384',
  '1.2.840.10045.4.3.4': 'SHA-512',
  '1.3.101.112': undefined,
  '1.3.101.113': undefined,
};
const hashes: Readonly<Record<string, string>> = {
  '1.3.14.3.2.26': 'SHA-1',
  '2.16.840.1.101.3.4.2.1': 'SHA-256',
  '2.16.840.1.101.3.4.2.2': 'SHA-384',
  '2.16.840.1.101.3.4.2.3': 'SHA-512',
};

/** Throws an Error where it is malformed. The hash of RSASSA-PSS is in its parameters (RFC 4055 §3.1), by default SHA-1. */
export function parseSignatureAlgorithm(algorithm: DerElement | undefined): SignatureAlgorithm {
  const [type, parameters] = itemsOf(algorithm);
  const identifier = identifierOf(type);
  if (identifier !== rsaPss) {
    return {
      hash: Object.hasOwn(signatureHashes, identifier) ? signatureHashes[identifier] : identifier,
      isPss: false,
    };
  }
  const stated = insideOf(parameters && itemsOf(parameters).find(({ tag }) => tag === 0xa0));
  if (stated === undefined) return { hash: 'SHA-1', isPss: true };
  const hash = identifierOf(itemsOf(stated)[0]);
  return { hash: hashes[hash] ?? hash, isPss: true };
}
