// Strict reader of DER (X.690): elements, and the types of ASN.1 that certificates are made of.

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

/** The only one of these elements. Throws an Error when there are others, or none. */
export function only(elements: readonly DerElement[]): DerElement {
  const [element, ...rest] = elements;
  if (element === undefined || rest.length > 0) throw new Error('malformed DER: one element expected');
  return element;
}

/** The elements of a SEQUENCE. Like the functions below it throws an Error where the element is missing, malformed or of another type. */
export function itemsOf(element: DerElement | undefined): DerElement[] {
  return readDerElements(contentOf(element, 0x30));
}

/** The element inside an explicit tag. */
export function insideOf(tagged: DerElement | undefined): DerElement | undefined {
  return tagged && only(readDerElements(tagged.content));
}

/** A BOOLEAN. */
export function flagOf(element: DerElement | undefined): boolean {
  const [value, ...rest] = contentOf(element, 0x01);
  if ((value !== 0 && value !== 0xff) || rest.length > 0) throw new Error('malformed BOOLEAN');
  return value === 0xff;
}

/** An INTEGER from 0 to 2^31 - 1. */
export function integerOf(element: DerElement | undefined): number {
  const content = contentOf(element, 0x02);
  const isMinimal = content.length > 0 && (content.length === 1 || content[0] !== 0 || content[1]! >= 0x80);
  if (!isMinimal || content.length > 4 || content[0]! >= 0x80) throw new Error('malformed INTEGER');
  return content.reduce((value, byte) => value * 256 + byte, 0);
}

/** The named bits of a BIT STRING, the first of them as 1. */
export function bitsOf(element: DerElement | undefined): number {
  const [unused, ...bytes] = contentOf(element, 0x03);
  if (unused === undefined || unused > 7 || bytes.length > 4 || (bytes.length === 0 && unused > 0))
    throw new Error('malformed BIT STRING');
  let bits = 0;
  for (let index = 0; index < bytes.length * 8 - unused; index++) {
    if ((bytes[index >> 3]! & (0x80 >> (index & 7))) !== 0) bits += 2 ** index;
  }
  return bits;
}

/** An OBJECT IDENTIFIER with dots. */
export function identifierOf(element: DerElement | undefined): string {
  const arcs: number[] = [];
  let arc = 0;
  let isOpen = true;
  for (const byte of contentOf(element, 0x06)) {
    if (arc === 0 && isOpen === false && byte === 0x80) throw new Error('malformed OBJECT IDENTIFIER');
    arc = arc * 128 + (byte & 0x7f);
    isOpen = byte >= 0x80;
    if (isOpen) continue;
    arcs.push(arc);
    arc = 0;
  }
  const [first] = arcs;
  if (isOpen || first === undefined || !arcs.every(Number.isSafeInteger))
    throw new Error('malformed OBJECT IDENTIFIER');
  const root = Math.min(Math.floor(first / 40), 2);
  return [root, first - root * 40, ...arcs.slice(1)].join('.');
}

/** A Time in the form that RFC 5280 §4.1.2.5 demands, in milliseconds since 1970. */
export function timeOf(element: DerElement | undefined): number {
  const text = Buffer.from(element?.content ?? []).toString('latin1');
  const century = Number(text.slice(0, 2)) >= 50 ? '19' : '20';
  const written = element?.tag === 0x17 ? century + text : element?.tag === 0x18 ? text : '';
  const iso = written.replace(/^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6.000Z');
  const instant = Date.parse(iso);
  if (iso === written || Number.isNaN(instant) || new Date(instant).toISOString() !== iso)
    throw new Error('malformed time');
  return instant;
}

/** A string of a name (RFC 5280 §4.1.2.4); of any other type its bytes in hexadecimal. */
export function textOf(element: DerElement | undefined): string {
  if (element === undefined) throw new Error('a name without a value');
  const content = Buffer.from(element.content);
  switch (element.tag) {
    case 0x0c:
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content);
    case 0x13:
    case 0x14:
    case 0x16:
      return content.toString('latin1');
    case 0x1e:
      return content.swap16().toString('utf16le');
    case 0x1c:
      if (content.length % 4 !== 0) throw new Error('malformed UniversalString');
      return String.fromCodePoint(
        ...Array.from({ length: content.length / 4 }, (_, index) => content.readUInt32BE(index * 4)),
      );
    default:
      return Buffer.from(element.whole).toString('hex');
  }
}

function contentOf(element: DerElement | undefined, tag: number): Uint8Array {
  if (element?.tag !== tag) throw new Error('malformed DER: another type expected');
  return element.content;
}
