// Compact JWS (RFC 7515 §7.1) in canonical form, parsed before any library sees it.
import type { KeyObject } from 'node:crypto';
import { compactVerify } from 'jose/jws/compact/verify';

/** A JWS that is parsed and not verified. */
export interface CompactJws {
  readonly text: string;
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Readonly<Record<string, unknown>>;
}

/** An access token as it was presented. */
export interface AccessToken {
  readonly text: string;
  /** The token as a JWS, parsed when it is first asked for and not again; undefined for one that is opaque or not in canonical form. */
  jws(): CompactJws | undefined;
}

/** Base64url without padding whose unused trailing bits are zero: each byte string has exactly one spelling. */
const segment = '(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{4}|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048]|[A-Za-z0-9_-][AQgw])';
const compactForm = new RegExp(`^(${segment})\\.(${segment})\\.${segment}$`);
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
    jws() {
      parsed ??= { jws: parseCompactJws(text) };
      return parsed.jws;
    },
  };
}

/** Parses header and claims. Undefined unless the text is in canonical form and both are JSON objects. */
export function parseCompactJws(text: string): CompactJws | undefined {
  const [, header, claims] = compactForm.exec(text) ?? [];
  if (header === undefined || claims === undefined) return undefined;
  const parsedHeader = parseJsonObject(header);
  const parsedClaims = parsedHeader && parseJsonObject(claims);
  return parsedClaims && { text, header: parsedHeader, claims: parsedClaims };
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

function parseJsonObject(base64url: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(utf8.decode(Buffer.from(base64url, 'base64url')));
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
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
