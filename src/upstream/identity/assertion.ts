// Assertion: a short-lived JWT (RFC 7519, RFC 9068 §2.2) that names the caller to an upstream. Signed once and reused.
import { randomUUID } from 'node:crypto';
import { CompactSign } from 'jose/jws/compact/sign';
import { expiryOf } from '../../authn/caller/caller.ts';
import type { Caller, Principal } from '../../authn/caller/principal.ts';
import { createBoundedCache } from '../../bounded-cache.ts';
import type { AssertionConfig } from '../../config/schema/config.ts';
import { GatewayError } from '../../errors.ts';
import type { AssertionKey } from './assertion-key.ts';
import { parseUsername, renderUsername, type UsernameTemplate } from './username.ts';

/** The assertion of one upstream. */
export interface Assertion {
  /**
   * Makes the Authorization header of one caller; a promise only where something must be signed. Throws GatewayError `denied` when the identity lacks a
   * value that the upstream needs, `invalid_token` when the credential is at its end.
   */
  readonly authorize: (caller: Caller, nowMs: number) => string | Promise<string>;
  /** The claims of one caller but those of time. Throws GatewayError `denied` as `authorize` does. */
  readonly claimsOf: (caller: Caller) => Readonly<Record<string, unknown>>;
}

/** The claims of one caller that do not depend on the time. */
interface Identity {
  /** All claims but those of time. */
  readonly claims: Readonly<Record<string, unknown>>;
  /** The claims as text: equal for equal identities. */
  readonly text: string;
  /** The first expiry of the presented credentials, in milliseconds since 1970. */
  readonly expiresAt: number;
}

interface Signed {
  readonly authorization: string | Promise<string>;
  readonly reuseUntilMs: number;
}

const maxEntries = 10_000;
const maxCacheBytes = 32 * 1024 * 1024;
/** Common servers refuse longer headers. */
const maxClaimsLength = 6144;
/** An assertion with less lifetime left is not reused: the clock of the upstream may be ahead. */
const maxMarginMs = 10_000;

/** Compiles the assertion of one upstream. The first of `keys` signs. */
export function compileAssertion(
  config: AssertionConfig,
  issuer: string,
  keys: readonly [AssertionKey, ...AssertionKey[]],
): Assertion {
  const identityOf = compileIdentityClaims(config, issuer);
  const sign = compileSigner(keys[0]);
  const signed = createBoundedCache<Signed>({ entries: maxEntries, size: { bytes: maxCacheBytes, of: sizeOf } });
  const marginMs = Math.min(maxMarginMs, config.lifetime / 2);

  const authorize: Assertion['authorize'] = (caller, nowMs) => {
    const { claims, text, expiresAt } = identityOf(caller);
    const expiresEarly = expiresAt < nowMs + config.lifetime;
    const key = expiresEarly ? `${expiresAt} ${text}` : text;
    const known = signed.get(key);
    if (known !== undefined && nowMs < known.reuseUntilMs) return known.authorization;
    const exp = Math.floor((expiresEarly ? expiresAt : nowMs + config.lifetime) / 1000);
    if (exp * 1000 <= nowMs) throw expired();
    checkSize(text);
    const remember = (authorization: string | Promise<string>) =>
      signed.set(key, { authorization, reuseUntilMs: exp * 1000 - (expiresEarly ? 0 : marginMs) });
    const pending = sign({ ...claims, jti: randomUUID(), iat: Math.floor(nowMs / 1000), exp });
    remember(pending);
    pending.then(remember, () => signed.delete(key));
    return pending;
  };
  const claimsOf: Assertion['claimsOf'] = (caller) => {
    const { claims, text } = identityOf(caller);
    checkSize(text);
    return claims;
  };
  return { authorize, claimsOf };
}

function compileSigner({ privateKey, algorithm, kid }: AssertionKey): (payload: object) => Promise<string> {
  const header = { alg: algorithm, kid, typ: 'JWT' };
  return async (payload) => {
    const signer = new CompactSign(Buffer.from(JSON.stringify(payload)));
    return `Bearer ${await signer.setProtectedHeader(header).sign(privateKey)}`;
  };
}

/** A cached token has one Caller object, by which its identity is cached too. */
function compileIdentityClaims(config: AssertionConfig, issuer: string): (caller: Caller) => Identity {
  // No authenticator has an empty name: it is the gateway itself, in questions of its own.
  const templates = Object.entries({ '': '${subject}', ...config.username });
  const usernames = new Map(templates.map(([name, text]) => [name, parseUsername(text)]));
  const known = new WeakMap<Caller, Identity>();
  return (caller) => {
    let identity = known.get(caller);
    if (identity === undefined) {
      const { principal } = caller;
      const template = usernames.get(principal.authenticator) ?? usernames.get('default');
      const scope = [...new Set([...caller.scopes, ...config.scopes])].join(' ');
      const claims = { ...claimsOf(principal, config, issuer, usernameOf(principal, template)), scope };
      identity = { claims, text: JSON.stringify(claims), expiresAt: expiryOf(caller) };
      known.set(caller, identity);
    }
    return identity;
  };
}

function usernameOf(principal: Principal, template: UsernameTemplate | undefined): string {
  const rendered = template === undefined ? { missing: 'username' } : renderUsername(template, principal);
  if ('username' in rendered) return rendered.username;
  throw new GatewayError(
    'denied',
    `Your credential does not say who you are to the upstream: it lacks a usable "${rendered.missing}". Use one that has it, or ask the operator of this gateway.`,
    { reason: 'identity', detail: { identity: { missing: rendered.missing } } },
  );
}

/** `act` (RFC 8693 §4.1) names the client that acts for the subject, and the issuer that says so. */
function claimsOf(principal: Principal, config: AssertionConfig, issuer: string, username: string): Identity['claims'] {
  const { clientId } = principal;
  const mapped = Object.entries(config.claims).flatMap(([ours, name]) =>
    Object.hasOwn(principal.claims, name) ? [[ours, principal.claims[name]]] : [],
  );
  return {
    ...Object.fromEntries(mapped),
    iss: issuer,
    aud: config.audience,
    sub: username,
    preferred_username: username,
    ...(clientId !== undefined && {
      client_id: clientId,
      azp: clientId,
      act: { iss: principal.issuer, sub: clientId },
    }),
  };
}

function sizeOf({ authorization }: Signed, key: string): number {
  return key.length + (typeof authorization === 'string' ? authorization.length : 2 * key.length);
}

/** For a credential that only `clockTolerance` still accepts: an assertion of it would be expired. */
function expired(): GatewayError {
  return new GatewayError(
    'invalid_token',
    'The credential is at its end. Obtain a new one from its authorization server.',
    { reason: 'expired' },
  );
}

function checkSize(text: string): void {
  if (text.length <= maxClaimsLength) return;
  throw new GatewayError(
    'denied',
    'Your identity is too large to be passed on. Ask for a credential with less in it.',
    {
      reason: 'identity',
      detail: { identity: { tooLarge: true } },
    },
  );
}
