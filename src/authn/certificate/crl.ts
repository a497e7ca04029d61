// Certificate revocation lists (RFC 5280 §5): complete, direct ones; anything else is refused when it is loaded.
import { constants, type KeyObject, verify } from 'node:crypto';
import { strongHashes } from '../../key-strength.ts';
import { type DerElement, insideOf, itemsOf, only, readDerElements, timeOf } from './der.ts';
import { parseSignatureAlgorithm } from './signature-algorithm.ts';
import { nameDer, parseExtensions, serialNumberOf } from './x509.ts';

/** A certificate revocation list. */
export interface RevocationList {
  /** DER of the issuer's name in Base64. */
  readonly issuerDer: string;
  readonly serialNumbers: ReadonlySet<string>;
  /** Milliseconds since 1970: the list serves from the first instant and until the second. */
  readonly thisUpdate: number;
  readonly nextUpdate: number;
  isSignedBy(key: KeyObject): boolean;
}

/** CRL number, authority key identifier, authority information access, freshest CRL, issuer's alternative name. */
const knownExtensions = new Set(['2.5.29.20', '2.5.29.35', '1.3.6.1.5.5.7.1.1', '2.5.29.46', '2.5.29.18']);

const extensionsTag = 0xa0;
const timeTags = [0x17, 0x18];

/** Parses one list. Throws an Error when it is malformed, partial, indirect, weakly signed or has no end. */
export function parseRevocationList(der: Buffer): RevocationList {
  const [body, algorithm, signature, ...rest] = itemsOf(only(readDerElements(der)));
  const parts = itemsOf(body);
  if (parts[0]?.tag === 0x02) parts.shift();
  const [, issuer, thisUpdate, ...optional] = parts;
  const nextUpdate = timeTags.includes(optional[0]?.tag ?? 0) ? optional.shift() : undefined;
  const entries = optional[0]?.tag === 0x30 ? itemsOf(optional.shift()) : [];
  const tagged = optional.shift();
  if (optional.length > 0 || rest.length > 0 || (tagged !== undefined && tagged.tag !== extensionsTag))
    throw new Error('the revocation list is malformed');
  const critical = [...parseExtensions(insideOf(tagged))].find(
    ([type, each]) => each.critical && !knownExtensions.has(type),
  );
  if (critical !== undefined) throw new Error(`the revocation list is partial or indirect (extension ${critical[0]})`);
  if (nextUpdate === undefined) throw new Error('the revocation list has no nextUpdate');
  return {
    issuerDer: nameDer(issuer),
    serialNumbers: new Set(entries.map(revokedSerialNumber)),
    thisUpdate: timeOf(thisUpdate),
    nextUpdate: timeOf(nextUpdate),
    isSignedBy: signatureCheck(body!.whole, algorithm, signature),
  };
}

function revokedSerialNumber(entry: DerElement): string {
  const [serialNumber, , extensions] = itemsOf(entry);
  if (extensions !== undefined && [...parseExtensions(extensions).values()].some(({ critical }) => critical))
    throw new Error('the revocation list has entries with critical extensions');
  return serialNumberOf(serialNumber);
}

function signatureCheck(
  signed: Uint8Array,
  algorithm: DerElement | undefined,
  signature: DerElement | undefined,
): (key: KeyObject) => boolean {
  const { hash, isPss } = parseSignatureAlgorithm(algorithm);
  if (hash !== undefined && !strongHashes.has(hash)) throw new Error(`the revocation list is signed with ${hash}`);
  if (signature?.tag !== 0x03 || signature.content[0] !== 0) throw new Error('the revocation list is malformed');
  const bytes = signature.content.subarray(1);
  const digest = hash?.replace('-', '').toLowerCase() ?? null;
  const padding = isPss ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_AUTO } : {};
  return (key) => {
    try {
      return verify(digest, signed, { key, ...padding }, bytes);
    } catch {
      return false;
    }
  };
}
