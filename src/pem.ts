// Strict reader of PEM files (RFC 7468) with certificates and private keys: every block or none.
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';

/** An unusable block. The message is public. */
export class PemError extends Error {
  /** 1 for the first block of the file. */
  readonly block: number;
  /** Follows the name of the block in a sentence. */
  readonly problem: string;

  constructor(block: number, problem: string) {
    super(`PEM block ${block} ${problem}`);
    this.name = 'PemError';
    this.block = block;
    this.problem = problem;
  }
}

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
const nouns = { CERTIFICATE: 'certificate', 'X509 CRL': 'revocation list' };
/** Labels that OpenSSL reads as certificates too. */
const otherCertificateLabels = ['X509 CERTIFICATE', 'TRUSTED CERTIFICATE'];

/**
 * Reads all blocks of a PEM file; text before, between and behind them is skipped. Each boundary stands on a line of its own, which may end in
 * CRLF or white space, and nothing but unbroken Base64 stands between them. Throws a PemError that names the damaged block by
 * its number: two blocks glued together, a block that is cut off, an END without a BEGIN or with another label, an empty line or anything but
 * Base64 in a block. The content is not looked at.
 */
export function parsePemBlocks(text: string): PemBlock[] {
  const blocks: PemBlock[] = [];
  let open: { readonly label: string; readonly lines: string[] } | undefined;
  const damaged = (why: string) => new PemError(blocks.length + 1, `is damaged: ${why}`);
  for (const written of text.replace(/^\uFEFF/, '').split('\n')) {
    const line = written.trimEnd();
    const [, edge, label] = boundary.exec(line) ?? [];
    if (edge === undefined && damagedBoundary.test(line))
      throw damaged(
        'a boundary is not a line of its own; put a line break between BEGIN or END and what stands beside it',
      );
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
  if (open !== undefined) throw damaged('it is cut off; take the whole file');
  // DER begins with the tag of a sequence, and holds bytes that no text has.
  if (blocks.length === 0 && text.startsWith('0') && text.includes('\0'))
    throw new Error('the file is DER; convert it to PEM with openssl');
  return blocks;
}

/**
 * The content of a file whose blocks all have this label, at least one. Throws an Error with a public message otherwise, or when a block is damaged
 * (`parsePemBlocks`).
 */
export function parsePem(pem: Buffer | string, label: keyof typeof nouns): Buffer[] {
  const blocks = parsePemBlocks(pem.toString());
  if (blocks.length === 0) throw new Error(`the file holds no PEM ${nouns[label]}`);
  return blocks.map(({ label: found, der, number }) => {
    if (found !== label) throw new PemError(number, `is "${found}", and not "${label}"`);
    if (der === undefined) throw new PemError(number, 'is encrypted');
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
    if (otherCertificateLabels.includes(label)) throw new PemError(number, `is "${label}", and not "CERTIFICATE"`);
    return label === 'CERTIFICATE' ? certificateOf(der, number) : [];
  });
  if (certificates.length === 0) throw new Error(`the file holds no PEM ${nouns.CERTIFICATE}`);
  return certificates;
}

/**
 * The private key of a PEM file, the first that stands in it. Throws an Error with a public message that shows nothing of the key when there is none,
 * when it is encrypted or cannot be read, or when a block of any kind is damaged (`parsePemBlocks`). Its strength is not checked.
 */
export function parsePrivateKey(pem: Buffer | string): KeyObject {
  const block = parsePemBlocks(pem.toString()).find(({ label }) => label.endsWith('PRIVATE KEY'));
  if (block === undefined) throw new Error('the file holds no PEM private key');
  if (block.der === undefined || block.label.startsWith('ENCRYPTED')) {
    throw new PemError(
      block.number,
      'is an encrypted private key; `openssl pkey -in FILE -out FILE` takes the passphrase off',
    );
  }
  try {
    return createPrivateKey(block.text);
  } catch {
    // OpenSSL's words are for programmers.
    throw new PemError(block.number, 'holds no private key that can be read');
  }
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
  throw new PemError(number, 'holds no certificate that can be read');
}

function decode(lines: readonly string[]): Buffer | 'malformed' | undefined {
  if (header.test(lines[0] ?? '')) return undefined;
  const text = lines.join('').replace(/[ \t]/g, '');
  const whole = text !== '' && base64.test(text) && lines.every((line) => line !== '');
  return whole ? Buffer.from(text, 'base64') : 'malformed';
}
