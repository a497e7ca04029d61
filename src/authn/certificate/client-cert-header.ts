// Client-Cert and Client-Cert-Chain headers (RFC 9440): the certificate that a client showed to the proxy in front. Pure.

/** DER, the client's own first, as the proxy passed it on. */
export interface StatedCertificate {
  readonly leaf: Buffer;
  readonly chain: readonly Buffer[];
}

/** More authorities than any chain has that could be accepted. */
const maxChain = 8;
/** RFC 8941 §3.3.5 in its strict form: padded, and one spelling for each byte string. */
const byteSequence = /^:((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=|[A-Za-z0-9+/][AQgw]==)?):$/;

/** Reads both fields, each line as it came. Undefined unless there is exactly one certificate and everything is in canonical form. */
export function parseClientCert(leaf: readonly string[], chain: readonly string[]): StatedCertificate | undefined {
  const [only, ...others] = leaf;
  const certificate = only === undefined || others.length > 0 ? undefined : parseByteSequence(only);
  if (certificate === undefined) return undefined;
  // RFC 8941 §3.1: a list may stand in several lines.
  const items = chain
    .flatMap((line) => line.split(','))
    .map((item) => parseByteSequence(item.replace(/^[ \t]+|(?<![ \t])[ \t]+$/g, '')));
  const authorities = items.filter((item) => item !== undefined);
  if (authorities.length < items.length || items.length > maxChain) return undefined;
  return { leaf: certificate, chain: authorities };
}

function parseByteSequence(text: string): Buffer | undefined {
  const base64 = byteSequence.exec(text)?.[1];
  return base64 === undefined || base64 === '' ? undefined : Buffer.from(base64, 'base64');
}
