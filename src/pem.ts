// PEM files (RFC 7468), read strictly: every block or none.
import { X509Certificate } from 'node:crypto';

/** One block of a PEM file, in its order. */
export interface PemBlock {
  /** 1 for the first block of the file, whatever its label. */
  readonly number: number;
  /** As in `-----BEGIN label-----`. */
  readonly label: string;
  /** Undefined for a block with headers (RFC 1421), such as an encrypted private key. */
  readonly der: Buffer | undefined;
  /** The block alone, a file of its own. */
  readonly text: string;
}

const boundary = /^-----(BEGIN|END) ([^-]+(?:-[^-]+)*)-----$/;
/** A boundary that is cut, indented, or shares its line. OpenSSL skips such a block, and Node takes what stands before it for the whole file. */
const damagedBoundary = /-{2,}(?:BEGIN|END)(?: |$)|^-----[A-Z]/;
const header = /^[A-Za-z-]+:/;
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
/** Labels that OpenSSL reads as certificates too. */
const otherCertificateLabels = ['X509 CERTIFICATE', 'TRUSTED CERTIFICATE'];

/**
 * Reads all blocks of a PEM file; text before, between and behind them is skipped. Each boundary stands on a line of its own, which may end in
 * CRLF or white space, and nothing but unbroken Base64 stands between them. Throws an Error with a public message that names the damaged block by
 * its number: two blocks glued together, a block that is cut off, an END without a BEGIN or with another label, an empty line or anything but
 * Base64 in a block. The content is not looked at.
 */
export function parsePemBlocks(text: string): PemBlock[] {
  const blocks: PemBlock[] = [];
  let open: { readonly label: string; readonly lines: string[] } | undefined;
  const damaged = (why: string) => new Error(`PEM block ${blocks.length + 1} is damaged: ${why}`);
  for (const written of text.replace(/^\uFEFF/, '').split('\n')) {
    const line = written.trimEnd();
    const [, edge, label] = boundary.exec(line) ?? [];
    if (edge === undefined && damagedBoundary.test(line)) throw damaged('a boundary is not a line of its own');
    if (edge === 'BEGIN') {
      if (open !== undefined) throw damaged('another one begins before its end');
      open = { label: label!, lines: [] };
    } else if (edge === 'END') {
      if (open === undefined) throw damaged('it ends without a beginning');
      if (open.label !== label) throw damaged(`it begins as "${open.label}" and ends as "${label}"`);
      const der = decode(open.lines);
      if (der === 'malformed') throw damaged('it is not Base64 from its first line to its last');
      const text = [`-----BEGIN ${label}-----`, ...open.lines, line, ''].join('\n');
      blocks.push({ number: blocks.length + 1, label, der, text });
      open = undefined;
    } else open?.lines.push(line);
  }
  if (open !== undefined) throw damaged('it is cut off');
  return blocks;
}

/**
 * The content of a file whose blocks all have this label, at least one. Throws an Error with a public message otherwise, or when a block is damaged
 * (`parsePemBlocks`).
 */
export function parsePem(pem: Buffer | string, label: string): Buffer[] {
  const blocks = parsePemBlocks(pem.toString());
  if (blocks.length === 0) throw new Error(`there is no PEM block "${label}" in it`);
  return blocks.map(({ label: found, der, number }) => {
    if (found !== label) throw new Error(`PEM block ${number} is "${found}", and not "${label}"`);
    if (der === undefined) throw new Error(`PEM block ${number} is encrypted`);
    return der;
  });
}

/**
 * The certificates of a PEM file in its order, at least one; blocks of other kinds, such as a private key, may stand beside them. Throws an Error with
 * a public message when there is none, when a block of any kind is damaged (`parsePemBlocks`), or when one is not exactly one certificate. Neither
 * key strength nor validity is checked.
 */
export function parseCertificates(pem: Buffer | string): X509Certificate[] {
  const blocks = parsePemBlocks(pem.toString());
  const certificates = blocks.flatMap(({ label, der, number }) => {
    if (otherCertificateLabels.includes(label))
      throw new Error(`PEM block ${number} is "${label}", and not "CERTIFICATE"`);
    return label === 'CERTIFICATE' ? certificateOf(der, number) : [];
  });
  if (certificates.length === 0) throw new Error('the file holds no PEM certificate');
  return certificates;
}

/** The certificate in these bytes. Throws an Error when they are none, or more than one. */
export function certificateFromDer(der: Buffer): X509Certificate {
  const certificate = new X509Certificate(der);
  if (!certificate.raw.equals(der)) throw new Error('there is more than a certificate in it');
  return certificate;
}

function certificateOf(der: Buffer | undefined, number: number): X509Certificate {
  try {
    if (der !== undefined) return certificateFromDer(der);
  } catch {
    // OpenSSL's words are for programmers.
  }
  throw new Error(`PEM block ${number} holds no certificate that can be read`);
}

function decode(lines: readonly string[]): Buffer | 'malformed' | undefined {
  if (header.test(lines[0] ?? '')) return undefined;
  const text = lines.join('').replace(/[ \t]/g, '');
  const whole = text !== '' && base64.test(text) && lines.every((line) => line !== '');
  return whole ? Buffer.from(text, 'base64') : 'malformed';
}
