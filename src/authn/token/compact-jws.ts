// The strict compact form of a signed token (RFC 7515 §7.1), read before any library sees it.

/** A token in canonical form. Nothing in it is verified. */
export interface CompactToken {
  readonly text: string;
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Readonly<Record<string, unknown>>;
}

/** Base64url without padding whose unused trailing bits are zero: each byte string has exactly one spelling. */
const segment = '(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{4}|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048]|[A-Za-z0-9_-][AQgw])';
const compactForm = new RegExp(`^(${segment})\\.(${segment})\\.${segment}$`);
/** How a header of JOSE begins. Random bytes hardly ever do. */
const joseHeaderStart = /^\{\s*"[ -~]*$/;
const joseHeaderStartLength = 12;

/** A fatal decoder: bytes that are no UTF-8 make no text. A byte order mark stays and is no JSON. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Reads header and claims. Undefined unless the token is in canonical form and both are JSON objects. */
export function parseCompactToken(text: string): CompactToken | undefined {
  const [, header, claims] = compactForm.exec(text) ?? [];
  if (header === undefined || claims === undefined) return undefined;
  const parsedHeader = parseJsonObject(header);
  const parsedClaims = parsedHeader && parseJsonObject(claims);
  return parsedClaims && { text, header: parsedHeader, claims: parsedClaims };
}

/** The `iss` that the token claims. Unverified: good for finding out whom to ask, and for nothing else. */
export function peekIssuer(token: CompactToken): string | undefined {
  const { iss } = token.claims;
  return typeof iss === 'string' ? iss : undefined;
}

/**
 * Whether a token that is not in canonical form hides its issuer by design. What begins like a header of JOSE does not: it is a spoilt JWT,
 * somebody's whom it should not be shown to. A JWE (RFC 7516 §7.1, five segments) does.
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

export function isJsonObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
