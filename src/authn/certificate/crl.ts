// Certificate revocation lists (RFC 5280 §5): complete, direct ones; anything else is refused when it is loaded.
import { constants, type KeyObject, verify } from 'node:crypto';
import type * as x509 from '@peculiar/x509';
import { strongHashes } from '../../key-strength.ts';
import { canonicalSerialNumber, loadX509, nameDer, readDerElements, signatureHashOf } from './x509.ts';

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

/** Parses one list. Throws an Error when it is malformed, partial, indirect, weakly signed or has no end. */
export function parseRevocationList(der: Buffer): RevocationList {
  const list = new (loadX509().X509Crl)(der);
  const critical = list.extensions.find((extension) => extension.critical && !knownExtensions.has(extension.type));
  if (critical !== undefined)
    throw new Error(`the revocation list is partial or indirect (extension ${critical.type})`);
  if (list.nextUpdate === undefined) throw new Error('the revocation list has no nextUpdate');
  const entries = list.entries;
  if (entries.some((entry) => entry.extensions.some((extension) => extension.critical))) {
    throw new Error('the revocation list has entries with critical extensions');
  }
  return {
    issuerDer: nameDer(list.issuerName),
    serialNumbers: new Set(entries.map((entry) => canonicalSerialNumber(entry.serialNumber))),
    thisUpdate: list.thisUpdate.getTime(),
    nextUpdate: list.nextUpdate.getTime(),
    isSignedBy: signatureCheck(der, list),
  };
}

function signatureCheck(der: Buffer, list: x509.X509Crl): (key: KeyObject) => boolean {
  const [whole, ...rest] = readDerElements(der);
  const signed = whole && readDerElements(whole.content)[0]?.whole;
  if (signed === undefined || rest.length > 0) throw new Error('the revocation list is malformed');
  const { name, hash } = list.signatureAlgorithm as { name: string; hash?: { name: string } };
  const hashName = signatureHashOf({ name, hash });
  if (hashName !== undefined && !strongHashes.has(hashName))
    throw new Error(`the revocation list is signed with ${hashName}`);
  const signature = new Uint8Array(list.signature);
  const digest = hash?.name.replace('-', '').toLowerCase() ?? null;
  const padding =
    name === 'RSA-PSS' ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_AUTO } : {};
  return (key) => {
    try {
      return verify(digest, signed, { key, ...padding }, signature);
    } catch {
      return false;
    }
  };
}
