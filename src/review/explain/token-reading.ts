// Reading of an access token: its claims, and the reason for which it verified or not.
import { type CompactJws, createAccessToken, isOpaque } from '../../authn/token/compact-jws.ts';
import type { GatewayError } from '../../errors.ts';
import {
  type CredentialReading,
  instant,
  judged,
  list,
  notLookedAt,
  type ReadingContext,
  revokedBy,
  textOf,
} from './credential-reading.ts';

/** Reads a token. It is not repeated. */
export function readToken(text: string, context: ReadingContext): CredentialReading {
  const { offline, policyFile } = context;
  const jws = createAccessToken(text).jws();
  const found = judged(['access-token', 'dpop-token'], context);
  const owner = jws && policyFile.snapshot.authenticators.byIssuer.get(String(jws.claims.iss));
  const reading = { kind: 'access token' as const, ...found, authenticator: found.authenticator ?? owner?.name };
  const facts = jws === undefined ? {} : factsOfToken(jws);
  if (found.state === 'not_looked_at') return { ...reading, why: notLookedAt, facts };
  if (found.state === 'verified') {
    const how =
      jws === undefined
        ? 'its authorization server says that it is active'
        : 'signature, issuer, audience and times hold';
    return offline
      ? { ...reading, state: 'decoded', why: 'decoded only: its signature was NOT verified (--offline)', facts }
      : { ...reading, why: how, facts };
  }
  return { ...reading, why: whyToken(found.reason!, text, jws, context), facts };
}

function factsOfToken({ claims, header }: CompactJws): Record<string, string> {
  const shown: Record<string, unknown> = { typ: header.typ, alg: header.alg, kid: header.kid };
  for (const name of ['iss', 'sub', 'client_id', 'azp', 'aud', 'scope', 'scp', 'permissions', 'jti', 'cnf'])
    shown[name] = claims[name];
  for (const name of ['iat', 'nbf', 'exp'])
    shown[name] = typeof claims[name] === 'number' ? instant(claims[name] * 1000) : claims[name];
  const present = Object.entries(shown).filter(([, value]) => value !== undefined);
  return Object.fromEntries(present.map(([name, value]) => [name, textOf(value)]));
}

/** The reason of a refused token, with what it has and what was wanted. */
function whyToken(reason: string, text: string, jws: CompactJws | undefined, context: ReadingContext): string {
  const { at, policyFile, route } = context;
  const { header = {}, claims = {} } = jws ?? {};
  const { authenticators } = policyFile.snapshot;
  const owner = authenticators.byIssuer.get(String(claims.iss));
  const config = policyFile.loaded.config.authenticators[owner?.name ?? ''];
  const rules = config !== undefined && 'issuer' in config ? config : undefined;
  const jwt = rules?.type === 'jwt' ? rules : undefined;
  const end = Number(claims.exp) * 1000;
  switch (reason) {
    case 'format':
      return jws === undefined && !isOpaque(text)
        ? 'it begins like a JWT and is damaged: it was cut, or changed on the way'
        : jws === undefined
          ? 'it is no JWT, and this route names no authenticator of type introspection'
          : 'its header has members that an access token may not have';
    case 'issuer':
      return `no authenticator has its issuer ${textOf(claims.iss)}; there are ${list([...authenticators.byIssuer.keys()])} (compared byte for byte)`;
    case 'algorithm':
      return `it is signed with ${textOf(header.alg)}; accepted: ${list(jwt?.algorithms)}`;
    case 'token_type':
      return `its typ is ${textOf(header.typ)}; accepted: ${list(jwt?.tokenTypes)} (tokenTypes), and it must be no ID token`;
    case 'unknown_key':
      return `the issuer publishes no key ${textOf(header.kid)} for ${textOf(header.alg)}`;
    case 'signature':
      return 'its signature does not hold: it was changed, or signed with another key of that name';
    case 'audience':
      return `its audience is ${textOf(claims.aud)}; wanted: ${list([rules?.audience ?? route?.resource].flat())}`;
    case 'expired':
      return `it expired at ${instant(end)}, ${ago(at - end)} before the request`;
    case 'not_yet_valid':
      return `it is not valid before ${instant(Math.max(Number(claims.nbf ?? 0), Number(claims.iat ?? 0)) * 1000)}`;
    case 'claims':
      return `claims that the authenticator needs are absent or malformed: exp, a subject or client id${rules?.requireClientId ? ' (requireClientId)' : ''}, scopes, or requiredClaims ${textOf(rules?.requiredClaims ?? {})}`;
    case 'sender_constraint':
      return claims.cnf === undefined
        ? 'the route takes only tokens that are bound to their sender, and it is not'
        : `it is bound to its sender (cnf ${textOf(claims.cnf)}), whose proof is not here: give the certificate with --cert; for a DPoP key state the caller with --as and senderConstrained`;
    case 'revoked':
      return `the revocation list names it: ${revokedBy(context)}`;
    case 'inactive':
      return 'its authorization server says that it is not active';
    case 'not_accepted':
      return `it verified, but the route does not name authenticator ${owner?.name}: it names ${list([...(route?.requirements.named ?? [])])}`;
    case 'offline':
      return 'only its authorization server can tell what it is; leave out --offline';
    default:
      return context.authenticated?.error?.code === 'idp_unavailable'
        ? `the authorization server could not be asked: ${causeOf(context.authenticated.error)}`
        : reason;
  }
}

function causeOf({ cause, message }: GatewayError): string {
  return cause instanceof Error ? cause.message : message;
}

function ago(ms: number): string {
  const [size, unit] =
    ms < 120_000
      ? [1000, 's']
      : ms < 7_200_000
        ? [60_000, 'min']
        : ms < 172_800_000
          ? [3_600_000, 'h']
          : [86_400_000, 'd'];
  return `${Math.floor(ms / (size as number))} ${unit}`;
}
