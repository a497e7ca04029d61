// X-Forwarded-Client-Cert header of Envoy and Istio: one element with the certificate that a client showed to the proxy. Pure.
import { hash } from 'node:crypto';
import { parsePem } from '../../pem.ts';
import type { StatedCertificate } from './client-cert-header.ts';

const maxChain = 8;
/** A pair of key and value; in quotes anything but a bare quote, outside of them nothing that would begin something else. */
const pair = /^([A-Za-z]+)=(?:"((?:[^"\\]|\\["\\])*)"|([^",;=\\]*))(?:;|$)/;
const urlEncoded = /^(?:[A-Za-z0-9\-._~+/=:@!$&'()*, \n]|%[0-9A-Fa-f]{2})*$/;

/**
 * Reads the header, each line as it came. Undefined unless it is exactly one element with exactly one Cert in PEM, URL-encoded, and what it says besides
 * (Hash, Chain) agrees: a second element would be what the client itself sent, or an earlier proxy.
 */
export function parseForwardedClientCert(lines: readonly string[]): StatedCertificate | undefined {
  const [only, ...others] = lines;
  const members = only === undefined || others.length > 0 ? undefined : parseElement(only);
  const leaf = members === undefined ? undefined : certificatesOf(members.get('cert'));
  if (members === undefined || leaf?.length !== 1) return undefined;
  const stated = members.get('hash');
  if (stated !== undefined && stated.toLowerCase() !== hash('sha256', leaf[0]!, 'hex')) return undefined;
  if (!members.has('chain')) return { leaf: leaf[0]!, chain: [] };
  const chain = certificatesOf(members.get('chain'));
  if (chain === undefined || chain.length > maxChain || !chain[0]?.equals(leaf[0]!)) return undefined;
  return { leaf: leaf[0]!, chain: chain.slice(1) };
}

/** Values by lower-case key; By, URI and DNS may stand several times, and are not used. */
function parseElement(text: string): Map<string, string> | undefined {
  const members = new Map<string, string>();
  let rest = text;
  while (rest !== '') {
    const [whole, name, quoted, bare] = pair.exec(rest) ?? [];
    if (whole === undefined || name === undefined) return undefined;
    const key = name.toLowerCase();
    if (members.has(key) && ['cert', 'chain', 'hash', 'subject'].includes(key)) return undefined;
    members.set(key, quoted === undefined ? bare! : quoted.replace(/\\(["\\])/g, '$1'));
    rest = rest.slice(whole.length);
  }
  return members;
}

function certificatesOf(encoded: string | undefined): Buffer[] | undefined {
  if (encoded === undefined || !urlEncoded.test(encoded)) return undefined;
  // Only what is encoded is decoded: `+` belongs to Base64 here.
  const pem = encoded.replace(/%([0-9A-Fa-f]{2})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
  if (!/^(?:-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*)+$/.test(pem)) return undefined;
  try {
    // Some proxies write spaces for line ends.
    return parsePem(pem.replace(/(?<!BEGIN|END)\s+/g, '\n'), 'CERTIFICATE');
  } catch {
    return undefined;
  }
}
