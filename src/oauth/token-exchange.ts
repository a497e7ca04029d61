// Token exchange (RFC 8693): a caller's access token for one that is meant for an upstream, at its issuer, cached.
import type { webcrypto } from 'node:crypto';
import {
  type AuthorizationServer,
  genericTokenEndpointRequest,
  processGenericTokenEndpointResponse,
  ResponseBodyError,
} from 'oauth4webapi';
import * as z from 'zod';
import { authenticatorName, filePath, httpUrl, scopes, text } from '../config/schema/values.ts';
import { GatewayError } from '../errors.ts';
import type { Log } from '../log.ts';
import { boundedTransport, clientAuthenticationOf, oauthClientKeys, type TransportOptions } from './client-auth.ts';
import { exchangeUnavailable } from './errors.ts';
import { type ConnectionOptions, createBoundedConnections, RequestFailure } from './http-client.ts';
import { createSharedCache } from './shared-cache.ts';
import { createSingleFlight, digestOf, maxConnections, type SingleFlightFailure } from './single-flight.ts';

/** `identity.exchange` of an upstream. */
export const exchangeSchema = z.strictObject({
  authenticator: authenticatorName.describe('The authenticator whose access tokens are exchanged, at their issuer.'),
  endpoint: httpUrl.describe("The issuer's token endpoint."),
  insecure: z.boolean().default(false).describe('Accept plain http for the endpoint beyond loopback.'),
  caFile: filePath
    .optional()
    .describe('PEM file: the authorities of the endpoint; default those of the authenticator.'),
  ...oauthClientKeys,
  audience: text.optional().describe("The upstream's name at the issuer; this, resource or both."),
  resource: httpUrl.optional().describe("The upstream's resource identifier at the issuer."),
  scopes: scopes.default([]).describe('The scopes that are asked for; default what the issuer thinks fit.'),
});
export type ExchangeConfig = z.output<typeof exchangeSchema>;

/** The outcome of one request; a closed list, used as a metric label. */
export type ExchangeOutcome = 'exchanged' | 'refused' | SingleFlightFailure;

/** An access token that is exchanged. */
export interface SubjectToken {
  readonly token: string;
  /** Its own end, which has not come. */
  readonly expiresAt: number | undefined;
  /** Whom it names, for their share. */
  readonly caller: string;
}

/** Exchanges tokens at one endpoint. */
export interface TokenExchange {
  /**
   * The Authorization header for the upstream. Throws `denied` when the issuer refuses, `idp_unavailable` when it gives no usable answer.
   */
  exchange(token: SubjectToken, nowMs: number): Promise<string>;
  /** Ends its connections once the requests in flight are answered. */
  close(): void;
}

/** Options of `createTokenExchange`. */
export interface TokenExchangeOptions extends Pick<ConnectionOptions, 'authorities' | 'egress'> {
  /** The upstream's name. */
  readonly name: string;
  readonly config: ExchangeConfig;
  /** Of the tokens: the audience of the gateway's own assertions as a client. */
  readonly issuer: string;
  /** Of `clientKeyFile`. */
  readonly clientKey: webcrypto.CryptoKey | undefined;
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly observe: { tokenExchanged(upstream: string, outcome: ExchangeOutcome): void };
}

interface Exchanged {
  /** Undefined for a token that the issuer refused to exchange. */
  readonly authorization: string | undefined;
  /** Lifetime that the issuer states, if any. */
  readonly lifetimeMs: number | undefined;
}

interface Cached {
  readonly authorization: string | undefined;
  readonly untilMs: number;
}

const grantType = 'urn:ietf:params:oauth:grant-type:token-exchange';
const accessToken = 'urn:ietf:params:oauth:token-type:access_token';
/** RFC 8693 §3: a JWT may be named by what it is instead of by what it is for. */
const issuedTypes: readonly unknown[] = [accessToken, 'urn:ietf:params:oauth:token-type:jwt'];
const totalTimeoutMs = 5000;
const maxBodyBytes = 64 * 1024;
/** Of answers that may hold a token, and of errors in JSON: RFC 6749 §5.2, and what issuers use besides. */
const statuses = [200, 400, 401, 403];
/** Errors about the gateway or the server itself, and not about the token (RFC 6749 §5.2). */
const errorsOfOurs = new Set([
  ...['invalid_client', 'unauthorized_client', 'unsupported_grant_type'],
  ...['server_error', 'temporarily_unavailable'],
]);
const cacheLimits = { entries: 10_000, entriesPerCaller: 1000, bytes: 32 * 1024 * 1024 };
/** A token is not sent on when less is left: it has to arrive. */
const maxMarginMs = 10_000;
/** A client that tries again at once does not reach the issuer. */
const refusedForMs = 5000;
/** RFC 6750 §2.1: b64token. */
const bearerForm = /^[A-Za-z0-9\-._~+/]+=*$/;
/** Of a token that is sent on; common servers refuse longer headers. */
const maxTokenLength = 16_384;

/** Creates it; nothing is sent yet. The cache is by digests of the callers' tokens, which themselves are kept nowhere. */
export function createTokenExchange(options: TokenExchangeOptions): TokenExchange {
  const { name, log, now, observe, authorities, egress } = options;
  const timeoutMs = totalTimeoutMs;
  const connections = createBoundedConnections({ timeoutMs, connections: maxConnections, authorities, egress });
  const send = createRequest(options, { connections, timeoutMs, maxBytes: maxBodyBytes, statuses });
  const cache = createSharedCache<Cached>(cacheLimits);
  const request = createSingleFlight<Exchanged>({
    async send(token) {
      const answer = await send(token);
      observe.tokenExchanged(name, answer.authorization === undefined ? 'refused' : 'exchanged');
      return answer;
    },
    unavailable(reason, failure) {
      observe.tokenExchanged(name, reason);
      if (failure !== undefined) {
        log.warn({ upstream: name, reason, error: failure.message }, 'a token could not be exchanged');
      }
      return exchangeUnavailable(failure);
    },
    now,
  });

  return {
    async exchange({ token, expiresAt, caller }, nowMs) {
      const digest = digestOf(token);
      const cached = cache.get(digest);
      if (cached !== undefined && nowMs < cached.untilMs) return cached.authorization ?? refuse();
      const answer = await request({ digest, token, caller, known: false });
      const { authorization } = answer;
      const untilMs = cacheUntil(answer, expiresAt, nowMs);
      if (untilMs > nowMs) cache.set(caller, digest, { authorization, untilMs }, authorization?.length ?? 0);
      return authorization ?? refuse();
    },
    close: connections.close,
  };
}

/** Never beyond the end of either token; not at all where the issuer does not say when that is. */
function cacheUntil({ authorization, lifetimeMs }: Exchanged, expiresAt: number | undefined, nowMs: number): number {
  if (authorization === undefined) return nowMs + refusedForMs;
  if (lifetimeMs === undefined) return nowMs;
  const marginMs = Math.min(maxMarginMs, lifetimeMs / 2);
  return Math.min(nowMs + lifetimeMs - marginMs, expiresAt ?? Number.POSITIVE_INFINITY);
}

function refuse(): never {
  throw new GatewayError(
    'denied',
    'The authorization server grants nothing for the server behind this gateway on your access token. Ask there for access, or obtain a new token.',
    { reason: 'exchange_refused', detail: { identity: { exchange: 'refused' } } },
  );
}

/** One request. Throws a RequestFailure for what is neither a token nor a refusal. */
function createRequest(
  options: TokenExchangeOptions,
  transport: TransportOptions,
): (token: string) => Promise<Exchanged> {
  const { config, issuer, clientKey } = options;
  const server: AuthorizationServer = { issuer, token_endpoint: config.endpoint };
  const client = { client_id: config.clientId };
  const authentication = clientAuthenticationOf(config, clientKey);
  const parameters = parametersOf(config);
  return async (token) => {
    const form = { ...parameters, subject_token: token };
    try {
      const sent = boundedTransport(transport);
      const response = await genericTokenEndpointRequest(server, client, authentication, grantType, form, sent);
      return readToken(await processGenericTokenEndpointResponse(server, client, response), token);
    } catch (error) {
      if (error instanceof RequestFailure) throw error;
      if (error instanceof ResponseBodyError) return readError(error, token, options);
      throw new RequestFailure('malformed', `${config.endpoint} answered ${(error as Error).message}`);
    }
  };
}

/** Throws an Error that says what is wrong about the answer. */
function readToken(answer: Readonly<Record<string, unknown>>, presented: string): Exchanged {
  const { access_token: issued, issued_token_type: type, token_type: use, expires_in: seconds } = answer;
  if (typeof issued !== 'string' || issued.length > maxTokenLength || !bearerForm.test(issued))
    throw new Error('with no usable token');
  if (use !== 'bearer') throw new Error('with a token that is not for Bearer');
  if (!issuedTypes.includes(type)) throw new Error('with another type of token than an access token');
  if (issued === presented) throw new Error('with the token that it was to exchange');
  return { authorization: `Bearer ${issued}`, lifetimeMs: typeof seconds === 'number' ? seconds * 1000 : undefined };
}

/** An OAuth error (RFC 6749 §5.2) is a refusal, unless it is about the gateway or the server itself. */
function readError(error: ResponseBodyError, token: string, { name, config, log }: TokenExchangeOptions): Exchanged {
  const { error: code, error_description: text, status } = error;
  const said = { error: printable(code), description: printable((text ?? '').replaceAll(token, '…')) };
  if (errorsOfOurs.has(code)) {
    const what = `${config.endpoint} answered ${status}: ${said.error} ${said.description}`;
    throw new RequestFailure('status', what, { status });
  }
  log.warn({ upstream: name, ...said }, 'the issuer refused to exchange a token for this upstream');
  return { authorization: undefined, lifetimeMs: undefined };
}

function parametersOf({ audience, resource, scopes }: ExchangeConfig): Record<string, string> {
  return {
    subject_token_type: accessToken,
    requested_token_type: accessToken,
    ...(audience !== undefined && { audience }),
    ...(resource !== undefined && { resource }),
    ...(scopes.length > 0 && { scope: scopes.join(' ') }),
  };
}

/** Text of the issuer, made fit for one line of the log. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e\u2026]/g, '?').slice(0, 200);
}
