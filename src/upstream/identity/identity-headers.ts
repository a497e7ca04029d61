// The verified identity as headers: which facts, under which names, and how a value becomes safe and unambiguous.
import type { Caller } from '../../authn/principal.ts';
import { GatewayError } from '../../errors.ts';
import { type IdentityFact, type IdentityHeadersConfig, identityHeaderNames } from './facts.ts';

type WriteIdentity = (headers: string[], caller: Caller | undefined, requestId: string) => void;

const literal = /^(?! )[\x20-\x24\x26-\x7e]*(?<! )$/;

/** A fact that the caller does not have is left out; without a caller only the request id is written. Written out once for each caller. */
export function compileIdentityHeaders(config: IdentityHeadersConfig): WriteIdentity {
  const names = identityHeaderNames(config);
  const requestIdName = names.find(([fact]) => fact === 'requestId')?.[1];
  const known = new WeakMap<Caller, readonly string[]>();

  function headersOf(caller: Caller): readonly string[] {
    return names.flatMap(([fact, name]) => {
      const value = fact === 'requestId' ? undefined : factOf(caller, fact);
      return value === undefined ? [] : [name, encodeHeaderValue(value)];
    });
  }

  return (headers, caller, requestId) => {
    if (caller !== undefined) {
      let own = known.get(caller);
      if (own === undefined) {
        own = headersOf(caller);
        known.set(caller, own);
      }
      for (const part of own) headers.push(part);
    }
    if (requestIdName !== undefined) headers.push(requestIdName, requestId);
  };
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

/** A list or an object names no single tenant, so it is left out. */
function scalar(claim: unknown): string | undefined {
  if (typeof claim === 'string') return claim;
  return typeof claim === 'number' || typeof claim === 'boolean' ? String(claim) : undefined;
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
  return value.replace(/^ +| +$|[^\x20-\x24\x26-\x7e]+/g, (text) =>
    Buffer.from(text).toString('hex').toUpperCase().replace(/../g, '%$&'),
  );
}
