// Credentials of an explained request: verified as those of a live one, or, offline, by everything but what has to be fetched.
import { authenticate } from '../../authn/authenticate.ts';
import { refused, type TokenAuthenticator } from '../../authn/authenticator.ts';
import type { Caller } from '../../authn/caller/principal.ts';
import type { CredentialRecord, PeerCertificate } from '../../authn/credential.ts';
import { credentialRefused } from '../../authn/errors.ts';
import type { AuthenticatorSet } from '../../authn/registry.ts';
import type { Requirements } from '../../authn/requirements.ts';
import { compileClaimRules, verifyClaims } from '../../authn/token/claims.ts';
import { compileHeaderRules } from '../../authn/token/jwt.ts';
import type { Config } from '../../config/schema/config.ts';
import { GatewayError } from '../../errors.ts';
import type { Route } from '../../gateway/route.ts';
import type { Snapshot } from '../../gateway/snapshot.ts';
import type { Call } from '../call-form.ts';
import type { PolicyFile } from '../policy-file.ts';

/** The credentials that a request presents. They are secrets. */
export interface Presented {
  readonly token: string | undefined;
  readonly key: string | undefined;
  readonly certificate: PeerCertificate | undefined;
}

/** Options of `authenticatePresented`. */
export interface PresentedContext {
  readonly route: Route;
  readonly call: Call;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly clientAddress: string;
  /** Nothing is fetched, and no signature of a token is verified. */
  readonly offline: boolean;
}

/** The outcome of an authentication. */
export interface Authenticated {
  readonly caller: Caller | undefined;
  readonly error: GatewayError | undefined;
  readonly seen: readonly CredentialRecord[];
}

/** Authenticates what a request presents on a route. Fetches what the gateway would fetch. */
export async function authenticatePresented(
  presented: Presented,
  context: PresentedContext,
  policyFile: PolicyFile,
): Promise<Authenticated> {
  const { at: now, call, clientAddress, route } = context;
  const { revocations, snapshot } = policyFile;
  const seen: CredentialRecord[] = [];
  const [path = '', query = ''] = call.target.split('?');
  const { otherForm, resource } = route;
  const isOtherForm = otherForm?.path === path;
  const asked = snapshot.config.server.tls?.clientCertificates ?? 'off';
  const { authenticators, requirements } = context.offline
    ? withoutFetches(route, snapshot)
    : { authenticators: snapshot.authenticators, requirements: route.requirements };
  try {
    if (asked === 'required' && presented.certificate === undefined)
      throw credentialRefused('client-certificate', 'untrusted');
    const caller = await authenticate(
      {
        rawHeaders: headersOf(presented, snapshot.authenticators),
        query,
        peer: asked === 'off' ? undefined : presented.certificate,
        now,
        clientAddress,
        resource: isOtherForm ? otherForm.challenge.resource : resource,
        canonicalResource: isOtherForm ? resource : undefined,
        method: call.method,
        url: snapshot.config.server.publicUrl + path,
        seen,
        revocations: () => revocations,
      },
      requirements,
      authenticators,
    );
    return { caller, error: undefined, seen };
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    return { caller: undefined, error, seen };
  }
}

/** The headers that the credentials come in: a key in that of its authenticator. */
function headersOf({ token, key }: Presented, { keys }: AuthenticatorSet): string[] {
  const authenticator = keys.byPrefix.find(({ prefix }) => key?.startsWith(prefix)) ?? keys.byPrefix[0];
  return [
    ...(token === undefined ? [] : ['authorization', `Bearer ${token}`]),
    ...(key === undefined || authenticator === undefined ? [] : [authenticator.header, key]),
  ];
}

/** The same, but that tokens are verified by header and claims alone. */
function withoutFetches(
  { requirements }: Route,
  { authenticators, config }: Snapshot,
): { readonly authenticators: AuthenticatorSet; readonly requirements: Requirements } {
  const offline = (each: TokenAuthenticator): TokenAuthenticator => ({
    ...each,
    verify: verifyOffline(each, config.authenticators[each.name]),
  });
  const byIssuer = new Map([...authenticators.byIssuer].map(([issuer, each]) => [issuer, offline(each)]));
  const { opaque } = requirements;
  return {
    authenticators: { ...authenticators, byIssuer },
    requirements: { ...requirements, opaque: opaque && offline(opaque) },
  };
}

function verifyOffline(
  { name }: TokenAuthenticator,
  config: Config['authenticators'][string] | undefined,
): TokenAuthenticator['verify'] {
  return async (token, context) => {
    const jws = token.jws();
    if (config?.type !== 'jwt' || jws === undefined) throw notOffline();
    const header = compileHeaderRules(config)(jws.header);
    if (typeof header === 'string') return refused(header);
    const verified = verifyClaims(jws.claims, compileClaimRules(name, config, []), context, context.now);
    if ('refused' in verified) return refused(verified.refused, verified.identity);
    return { verified: true, principal: verified.principal };
  };
}

function notOffline(): GatewayError {
  return new GatewayError('idp_unavailable', 'Only the authorization server of this token can tell what it is.', {
    reason: 'offline',
    detail: { credential: { kind: 'access-token', problem: 'offline' } },
  });
}
