// Certificate revocation lists (RFC 5280 §5): complete, direct ones; anything else is refused when it is loaded.
import { constants, type KeyObject, verify } from 'node:crypto';
import type * as asn1 from '@peculiar/asn1-x509';
import { strongHashes } from '../../key-strength.ts';
import { loadAsn1, readDerElements } from './asn1.ts';
import { type SignatureAlgorithm, signatureAlgorithmOf } from './signature-algorithm.ts';
import { canonicalSerialNumber, nameDer, readExtensions } from './x509.ts';

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
  const library = loadAsn1();
  const list = library.AsnConvert.parse(der, library.types.CertificateList);
  const { crlExtensions, issuer, thisUpdate, nextUpdate, revokedCertificates: entries = [] } = list.tbsCertList;
  const critical = readExtensions(crlExtensions, library).all.find(
    (extension) => extension.critical && !knownExtensions.has(extension.extnID),
  );
  if (critical !== undefined)
    throw new Error(`the revocation list is partial or indirect (extension ${critical.extnID})`);
  if (nextUpdate === undefined) throw new Error('the revocation list has no nextUpdate');
  if (entries.some(({ crlEntryExtensions = [] }) => crlEntryExtensions.some((extension) => extension.critical))) {
    throw new Error('the revocation list has entries with critical extensions');
  }
  return {
    issuerDer: nameDer(issuer, library),
    serialNumbers: new Set(
      entries.map(({ userCertificate }) => canonicalSerialNumber(Buffer.from(userCertificate).toString('hex'))),
    ),
    thisUpdate: thisUpdate.getTime().getTime(),
    nextUpdate: nextUpdate.getTime().getTime(),
    isSignedBy: signatureCheck(der, list, signatureAlgorithmOf(list.signatureAlgorithm, library)),
  };
}

function signatureCheck(
  der: Buffer,
  list: asn1.CertificateList,
  { hash, isPss }: SignatureAlgorithm,
): (key: KeyObject) => boolean {
  const [whole, ...rest] = readDerElements(der);
  const signed = whole?.tag === 0x30 ? readDerElements(whole.content)[0]?.whole : undefined;
  if (signed === undefined || rest.length > 0) throw new Error('the revocation list is malformed');
  if (hash !== undefined && !strongHashes.has(hash)) throw new Error(`the revocation list is signed with ${hash}`);
  const signature = new Uint8Array(list.signature);
  const digest = hash?.replace('-', '').toLowerCase() ?? null;
  const padding = isPss ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_AUTO } : {};
  return (key) => {
    try {
      return verify(digest, signed, { key, ...padding }, signature);
    } catch {
      return false;
    }
  };
}
