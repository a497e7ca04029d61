// The verified identity as headers: which facts, under which names, and how a value becomes safe and unambiguous.
import type { Caller, Principal } from '../../authn/caller/principal.ts';
import { GatewayError } from '../../errors.ts';
import { type IdentityFact, type IdentityHeadersConfig, identityHeaderNames, isIdentityFact } from './facts.ts';

/** Writes the identity of a caller, and beside it the request id. */
export interface WriteIdentity {
  (headers: string[], caller: Caller | undefined, requestId: string): void;
  /** Throws `denied` for a caller whose identity cannot be written. */
  readonly check: (caller: Caller) => void;
}

const literal = /^(?! )[\x20-\x24\x26-\x7e]*(?<! )$/;
/** Of a claim. Common servers refuse longer headers. */
const maxClaimLength = 6144;

/** A fact that the caller does not have is left out; without a caller only the request id is written. Written out once for each caller. */
export function compileIdentityHeaders(config: IdentityHeadersConfig): WriteIdentity {
  const names = identityHeaderNames(config);
  const requestIdName = names.find(([fact]) => fact === 'requestId')?.[1];
  const known = new WeakMap<Caller, readonly string[]>();

  function headersOf(caller: Caller): readonly string[] {
    let own = known.get(caller);
    if (own === undefined) {
      own = names.flatMap(([name, header]) => {
        const value = textOf(caller, name);
        return value === undefined ? [] : [header, value];
      });
      known.set(caller, own);
    }
    return own;
  }

  const write = (headers: string[], caller: Caller | undefined, requestId: string): void => {
    if (caller !== undefined) for (const part of headersOf(caller)) headers.push(part);
    if (requestIdName !== undefined) headers.push(requestIdName, requestId);
  };
  return Object.assign(write, { check: (caller: Caller) => void headersOf(caller) });
}

function textOf(caller: Caller, name: string): string | undefined {
  if (!isIdentityFact(name)) return encodeClaim(caller.principal.claims, name);
  const value = name === 'requestId' ? undefined : factOf(caller, name);
  return value === undefined ? undefined : encodeHeaderValue(value);
}

function factOf({ principal, method, scopes }: Caller, fact: Exclude<IdentityFact, 'requestId'>): string | undefined {
  switch (fact) {
    case 'subject':
      return principal.subject;
    case 'clientId':
      return principal.clientId;
    case 'scopes':
      return scopes.join(' ');
    case 'authMethod':
      return method;
    case 'issuer':
      return principal.issuer;
    case 'tenant':
      return scalar(principal.claims.tenant);
    default:
      return fact satisfies never;
  }
}

/** A list or an object names no single tenant, so it is left out, and so is a number that is not exact. */
function scalar(claim: unknown): string | undefined {
  if (typeof claim === 'string') return claim;
  const isExact = typeof claim === 'number' && (Number.isSafeInteger(claim) || !Number.isInteger(claim));
  return isExact || typeof claim === 'boolean' ? String(claim) : undefined;
}

/**
 * A claim as a header: text, numbers and booleans, and lists of these with commas between them, where a comma of a value is encoded. Objects, null and
 * what holds them are left out. Throws `denied` for a claim that is too long.
 */
function encodeClaim(claims: Principal['claims'], name: string): string | undefined {
  const claim = Object.hasOwn(claims, name) ? claims[name] : undefined;
  if (!Array.isArray(claim)) {
    const value = scalar(claim);
    return value === undefined ? undefined : within(encodeHeaderValue(value), name);
  }
  const values = claim.map(scalar).filter((value) => value !== undefined);
  if (values.length === 0 || values.length < claim.length) return undefined;
  return within(values.map((value) => encodeHeaderValue(value).replaceAll(',', '%2C')).join(','), name);
}

function within(value: string, name: string): string {
  if (value.length <= maxClaimLength) return value;
  throw new GatewayError(
    'denied',
    'Your identity is too large to be passed on. Ask for a credential with less in it, such as fewer groups.',
    { reason: 'identity', detail: { identity: { tooLarge: `claims.${name}` } } },
  );
}

/**
 * Percent-encodes (RFC 3986 §2.1, UTF-8, upper-case hex) everything but printable ASCII, and `%` itself and spaces at either end too:
 * decoding gives the value back exactly, and no two values look alike. Scopes are joined by single literal spaces.
 * Throws `denied` for text that is no Unicode (a lone surrogate), which has no UTF-8 form.
 */
export function encodeHeaderValue(value: string): string {
  if (literal.test(value)) return value;
  if (!value.isWellFormed()) {
    throw new GatewayError('denied', 'Your identity holds characters that cannot be passed on.', {
      reason: 'identity',
    });
  }
  return value.replace(/^ +|(?<! ) +$|[^\x20-\x24\x26-\x7e]+/g, (text) =>
    Buffer.from(text).toString('hex').toUpperCase().replace(/../g, '%$&'),
  );
}
