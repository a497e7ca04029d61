// Log-in by OpenID Connect: authorization code flow with PKCE, state and nonce (OpenID Connect Core §3.1, RFC 7636, RFC 9207, RFC 9700).
import type { webcrypto } from 'node:crypto';
import {
  AuthorizationResponseError,
  type AuthorizationServer,
  authorizationCodeGrantRequest,
  type Client,
  calculatePKCECodeChallenge,
  clockTolerance,
  generateRandomCodeVerifier,
  generateRandomNonce,
  generateRandomState,
  getValidatedIdTokenClaims,
  None,
  processAuthorizationCodeResponse,
  ResponseBodyError,
  validateAuthResponse,
} from 'oauth4webapi';
import { addressIn, discover } from '../../authn/token/jwks-source.ts';
import type { Config } from '../../config/schema/config.ts';
import { GatewayError } from '../../errors.ts';
import { boundedTransport, clientAuthenticationOf } from '../../oauth/client-auth.ts';
import type { Egress } from '../../oauth/egress.ts';
import { createBoundedAgent, createBoundedConnections, RequestFailure } from '../../oauth/http-client.ts';

/** A log-in that was begun; only the browser that began it may have it. */
export interface PendingLogin {
  readonly state: string;
  readonly nonce: string;
  readonly codeVerifier: string;
}

/** An answer of the identity provider that is not verified but for its nonce and its form. */
export interface LoginAnswer {
  readonly idToken: string;
  /** The scopes that it says it granted; those that were asked for are not taken for granted. */
  readonly scopes: readonly string[];
}

/** The console as a client of an identity provider. */
export interface LoginClient {
  /** Throws GatewayError `idp_unavailable`. */
  begin(redirectUri: string): Promise<{ readonly url: string; readonly pending: PendingLogin }>;
  /** `query` is that of the redirect back. Throws GatewayError: `bad_request`, `denied` with the provider's words, `invalid_token`, `idp_unavailable`. */
  complete(query: string, redirectUri: string, pending: PendingLogin): Promise<LoginAnswer>;
}

/** Options of `createLoginClient`. */
export interface LoginClientOptions {
  readonly login: NonNullable<Config['admin']['login']>;
  /** Of `clientKeyFile`. */
  readonly clientKey: webcrypto.CryptoKey | undefined;
  readonly issuer: string;
  readonly insecure: boolean;
  /** Accepted for ID tokens. */
  readonly algorithms: readonly string[];
  readonly clockToleranceMs: number;
  readonly authorities: readonly string[] | undefined;
  readonly egress: Egress;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

const timeoutMs = 5000;
const maxAnswerBytes = 256 * 1024;
const metadataForMs = 600_000;
/** An address whose provider was asked in vain is not asked again so soon. */
const cooldownMs = 3000;
const maxRequests = 8;

/** Creates the client; nothing is asked before the first log-in, and no connection is kept. */
export function createLoginClient(options: LoginClientOptions): LoginClient {
  const { authorities, clientKey, egress, issuer, login, now } = options;
  const client: Client = { client_id: login.clientId, [clockTolerance]: options.clockToleranceMs / 1000 };
  const isPublic = login.clientSecret === undefined && clientKey === undefined;
  const authentication = isPublic ? None() : clientAuthenticationOf(login, clientKey);
  let metadata: { readonly server: AuthorizationServer; readonly at: number } | undefined;
  let failure: { readonly error: GatewayError; readonly at: number } | undefined;
  let asking: Promise<AuthorizationServer> | undefined;
  let requests = 0;

  async function ask(): Promise<AuthorizationServer> {
    const agent = createBoundedAgent({ timeoutMs, authorities, egress });
    try {
      const read = (found: Record<string, unknown>): AuthorizationServer => ({
        issuer,
        authorization_endpoint: addressIn(found, 'authorization_endpoint', options),
        token_endpoint: addressIn(found, 'token_endpoint', options),
        authorization_response_iss_parameter_supported: found.authorization_response_iss_parameter_supported === true,
        id_token_signing_alg_values_supported: [...options.algorithms],
      });
      const observe = { metadataFound() {} };
      const server = await discover(agent, { issuer, observe }, AbortSignal.timeout(timeoutMs), read);
      metadata = { server, at: now() };
      return server;
    } catch (cause) {
      failure = { error: unavailable(cause), at: now() };
      throw failure.error;
    } finally {
      asking = undefined;
      agent.destroy();
    }
  }

  async function serverMetadata(): Promise<AuthorizationServer> {
    if (metadata !== undefined && now() - metadata.at < metadataForMs) return metadata.server;
    if (failure !== undefined && now() - failure.at < cooldownMs) throw failure.error;
    asking ??= ask();
    return asking;
  }

  async function exchange(query: URLSearchParams, redirectUri: string, pending: PendingLogin): Promise<LoginAnswer> {
    const server = await serverMetadata();
    const parameters = validateAuthResponse(server, client, query, pending.state);
    const connections = createBoundedConnections({ timeoutMs, authorities, egress });
    const transport = { connections, timeoutMs, maxBytes: maxAnswerBytes, statuses: [200, 400, 401, 403] };
    try {
      const response = await authorizationCodeGrantRequest(
        server,
        client,
        authentication,
        parameters,
        redirectUri,
        pending.codeVerifier,
        boundedTransport(transport),
      );
      const answer = await processAuthorizationCodeResponse(server, client, response, {
        expectedNonce: pending.nonce,
        requireIdToken: true,
      });
      const { id_token: idToken = '', scope = '' } = answer;
      // OpenID Connect Core §3.1.3.7; the library asks for it only where there are several audiences.
      const { azp } = getValidatedIdTokenClaims(answer) ?? {};
      if (azp !== undefined && azp !== client.client_id) throw badLogin('The ID token is for another client', 'answer');
      return { idToken, scopes: scope.split(' ').filter((each) => each !== '') };
    } finally {
      connections.close();
    }
  }

  return {
    async begin(redirectUri) {
      const server = await serverMetadata();
      const pending = {
        state: generateRandomState(),
        nonce: generateRandomNonce(),
        codeVerifier: generateRandomCodeVerifier(),
      };
      const url = new URL(server.authorization_endpoint!);
      const parameters = {
        response_type: 'code',
        client_id: login.clientId,
        redirect_uri: redirectUri,
        scope: [...new Set(['openid', ...login.scopes])].join(' '),
        state: pending.state,
        nonce: pending.nonce,
        code_challenge: await calculatePKCECodeChallenge(pending.codeVerifier),
        code_challenge_method: 'S256',
      };
      for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
      return { url: url.href, pending };
    },
    async complete(query, redirectUri, pending) {
      if (requests >= maxRequests) throw unavailable(new Error('too many log-ins are under way'));
      requests += 1;
      try {
        return await exchange(new URLSearchParams(query), redirectUri, pending);
      } catch (error) {
        throw loginError(error, login.clientSecret);
      } finally {
        requests -= 1;
      }
    },
  };
}

/** The description of a refused console is for the operator alone, and may repeat its secret. */
function loginError(error: unknown, secret = ''): GatewayError {
  if (error instanceof GatewayError) return error;
  if (error instanceof RequestFailure) return unavailable(error);
  if (error instanceof AuthorizationResponseError) {
    const said = words(error.error, error.error_description);
    return new GatewayError('denied', `The identity provider did not log you in: ${said}.`, {
      reason: 'provider',
      cause: error,
    });
  }
  if (error instanceof ResponseBodyError) {
    const said = words(error.error, error.error_description);
    const cause = new Error(secret === '' ? said : said.replaceAll(secret, '…'));
    // A code that is used up is the browser's; everything else about the client is the operator's.
    if (error.error === 'invalid_grant')
      return badLogin('The identity provider does not accept the code', 'code', cause);
    return new GatewayError(
      'idp_unavailable',
      `The identity provider refused the console's request: ${words(error.error)}. Check admin.login and the client there; the log of the gateway has its words.`,
      { reason: 'client', cause },
    );
  }
  return badLogin('The answer of the identity provider is not the one to this log-in', 'answer', error);
}

/** A log-in that cannot be completed and can be begun anew. */
export function badLogin(what: string, reason: string, cause?: unknown): GatewayError {
  return new GatewayError('invalid_token', `${what}. Begin the log-in anew.`, { reason, cause });
}

function unavailable(cause: unknown): GatewayError {
  const message = 'Log-in is not possible at the moment: the identity provider does not answer. Try again shortly.';
  return new GatewayError('idp_unavailable', message, {
    reason: 'provider',
    headers: { 'retry-after': '10' },
    cause,
  });
}

/** Text of the provider, made fit for one line. */
function words(code: string, description = ''): string {
  const text = description === '' ? code : `${code} (${description})`;
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 300);
}
