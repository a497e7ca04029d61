// Compact JWS (RFC 7515 §7.1) in canonical form, parsed before any library sees it.
import { hash, type KeyObject } from 'node:crypto';
import { compactVerify } from 'jose/jws/compact/verify';

/** A JWS that is parsed and not verified. */
export interface CompactJws {
  readonly text: string;
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Readonly<Record<string, unknown>>;
}

/** The segments of a compact JWS, still encoded. */
export interface JwsSegments {
  readonly header: string;
  readonly claims: string;
  readonly signature: string;
}

/** An access token as it was presented. */
export interface AccessToken {
  readonly text: string;
  /** SHA-256 of the text, in base64url: the key of its cache, and the `ath` of its proofs (RFC 9449 §4.2). */
  readonly digest: string;
  /** The token as a JWS, parsed when it is first asked for and not again; undefined for one that is opaque or not in canonical form. */
  jws(): CompactJws | undefined;
}

/** The beginning of a JOSE header. Random bytes hardly ever begin so. */
const joseHeaderStart = /^\{\s*"[ -~]*$/;
const joseHeaderStartLength = 12;

/** A fatal decoder: bytes that are no UTF-8 make no text. A byte order mark stays and is no JSON. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Wraps a token. It is decoded at most once. */
export function createAccessToken(text: string): AccessToken {
  let parsed: { readonly jws: CompactJws | undefined } | undefined;
  return {
    text,
    digest: hash('sha256', text, 'base64url'),
    jws() {
      parsed ??= { jws: parseCompactJws(text) };
      return parsed.jws;
    },
  };
}

/** Parses header and claims. Undefined unless the text is in canonical form and both are JSON objects. */
export function parseCompactJws(text: string): CompactJws | undefined {
  const segments = splitCompactJws(text);
  if (segments === undefined || decodeSegment(segments.signature) === undefined) return undefined;
  const header = parseJsonSegment(segments.header);
  const claims = header && parseJsonSegment(segments.claims);
  return claims && { text, header, claims };
}

/** Splits at the two dots. Undefined for any other number of them. */
export function splitCompactJws(text: string): JwsSegments | undefined {
  const first = text.indexOf('.');
  const second = text.indexOf('.', first + 1);
  if (second <= first || text.includes('.', second + 1)) return undefined;
  return { header: text.slice(0, first), claims: text.slice(first + 1, second), signature: text.slice(second + 1) };
}

/** Undefined unless it is base64url without padding whose unused trailing bits are zero: each byte string but the empty one has exactly one spelling. */
export function decodeSegment(segment: string): Buffer | undefined {
  const bytes = Buffer.from(segment, 'base64url');
  return bytes.length > 0 && bytes.toString('base64url') === segment ? bytes : undefined;
}

/** Parses a segment. Undefined unless it is a JSON object, in UTF-8. */
export function parseJsonSegment(segment: string): Record<string, unknown> | undefined {
  const bytes = decodeSegment(segment);
  if (bytes === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(utf8.decode(bytes));
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The `iss` of a token that is not verified: it names the authenticator to ask, and nothing else. */
export function unverifiedIssuer({ claims: { iss } }: CompactJws): string | undefined {
  return typeof iss === 'string' ? iss : undefined;
}

/**
 * True for a token that hides its issuer by design: random text, or a JWE (RFC 7516 §7.1, five segments). One that begins like a JOSE header is a
 * damaged JWT of some issuer, and must not be shown to another.
 */
export function isOpaque(text: string): boolean {
  const [first = '', ...others] = text.split('.');
  const start = Buffer.from(first.slice(0, joseHeaderStartLength), 'base64url').toString('latin1');
  return others.length === 0 || others.length === 4 || !joseHeaderStart.test(start);
}

/** True for a header that changes the meaning of the rest. None belongs on an access token or a proof. */
export function hasForbiddenHeader(header: CompactJws['header']): boolean {
  return ['crit', 'b64', 'zip', 'enc', 'cty'].some((name) => Object.hasOwn(header, name));
}

/** Verifies the signature, with this algorithm and no other. */
export async function isSignedBy({ text }: CompactJws, key: KeyObject, algorithm: string): Promise<boolean> {
  try {
    await compactVerify(text, key, { algorithms: [algorithm] });
    return true;
  } catch {
    return false;
  }
}

/** True for an object that is no array. */
export function isJsonObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
