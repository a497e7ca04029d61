// ASN.1 of certificates in DER (X.690): the library with its types, and elements without it.
import { createRequire } from 'node:module';
import type * as asn1Schema from '@peculiar/asn1-schema';
import type * as asn1 from '@peculiar/asn1-x509';

const require = createRequire(import.meta.url);

/** The ASN.1 types of X.509, and the reader of them. */
export interface Asn1 {
  readonly types: typeof asn1;
  readonly AsnConvert: typeof asn1Schema.AsnConvert;
}

/** Loads the library: with the first certificate that is parsed, since it is many modules. Throws where it cannot be loaded. */
export function loadAsn1(): Asn1 {
  const { AsnConvert } = require('@peculiar/asn1-schema') as typeof asn1Schema;
  return { types: require('@peculiar/asn1-x509') as typeof asn1, AsnConvert };
}

/** An element of DER (X.690). */
export interface DerElement {
  readonly tag: number;
  readonly content: Uint8Array;
  /** Tag, length and content. */
  readonly whole: Uint8Array;
}

/** The elements that stand one after the other in `bytes`. Throws an Error when a length does not fit, or is longer than it needs to be. */
export function readDerElements(bytes: Uint8Array): DerElement[] {
  const elements: DerElement[] = [];
  for (let start = 0; start < bytes.length; ) {
    const element = readElement(bytes.subarray(start));
    elements.push(element);
    start += element.whole.length;
  }
  return elements;
}

function readElement(bytes: Uint8Array): DerElement {
  const [tag, first] = bytes;
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) throw new Error('malformed DER');
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  if (first === 0x80 || lengthBytes > 4 || bytes.length < 2 + lengthBytes) throw new Error('malformed DER length');
  let length = lengthBytes === 0 ? first : 0;
  for (let index = 0; index < lengthBytes; index++) length = length * 256 + bytes[2 + index]!;
  if (lengthBytes > 0 && length < (lengthBytes === 1 ? 0x80 : 256 ** (lengthBytes - 1)))
    throw new Error('malformed DER length');
  const start = 2 + lengthBytes;
  if (bytes.length < start + length) throw new Error('truncated DER');
  return { tag, content: bytes.subarray(start, start + length), whole: bytes.subarray(0, start + length) };
}
