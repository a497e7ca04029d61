// Asks an authorization server about tokens (RFC 7662): bounded in time, size and number, and not at all shortly after it failed.
import { hash, type webcrypto } from 'node:crypto';
import {
  type AuthorizationServer,
  allowInsecureRequests,
  type Client,
  type ClientAuth,
  ClientSecretBasic,
  ClientSecretPost,
  customFetch,
  introspectionRequest,
  PrivateKeyJwt,
  processIntrospectionResponse,
} from 'oauth4webapi';
import type { Agent } from 'undici';
import type { IntrospectionAuthenticatorConfig } from '../config/schema.ts';
import type { Log } from '../log.ts';
import { createBoundedAgent, RequestFailure, type RequestFailureReason, requestBounded } from './bounded-request.ts';
import { introspectionUnavailable } from './refusal.ts';

/** What came of asking; a closed list, used as a metric label. */
export type IntrospectionOutcome = 'active' | 'inactive' | RequestFailureReason | 'busy' | 'cooldown';

export interface IntrospectionEndpoint {
  /**
   * What the server says about a token; undefined when it does not count. Who asks about the same token meanwhile gets the same answer.
   * Throws `idp_unavailable` when nobody can say.
   */
  introspect(token: string): Promise<Readonly<Record<string, unknown>> | undefined>;
  /** Ends its connections once the questions under way are answered. */
  close(): void;
}

export interface IntrospectionEndpointOptions {
  /** Of the authenticator. */
  readonly name: string;
  readonly config: IntrospectionAuthenticatorConfig;
  /** Of `clientKeyFile`. */
  readonly clientKey: webcrypto.CryptoKey | undefined;
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly observe: { introspected(authenticator: string, outcome: IntrospectionOutcome): void };
}

const totalTimeoutMs = 5000;
const maxBodyBytes = 64 * 1024;
const maxConnections = 16;
/** Waiting ones included. */
const maxUnderWay = 256;
const cooldownMs = 5000;
/** What says that the endpoint is down or too busy. Anything else may be about the one token that was asked about. */
const outageStatuses = new Set([429, 502, 503, 504]);

/** Creates it; nothing is asked yet. */
export function createIntrospectionEndpoint(options: IntrospectionEndpointOptions): IntrospectionEndpoint {
  const { name, log, now, observe } = options;
  const agent = createBoundedAgent(totalTimeoutMs, maxConnections);
  const ask = createQuestion(options, agent);
  const underWay = new Map<string, Promise<Readonly<Record<string, unknown>> | undefined>>();
  let failedAt: number | undefined;

  async function attempt(token: string) {
    try {
      const answer = await ask(token);
      failedAt = undefined;
      observe.introspected(name, answer === undefined ? 'inactive' : 'active');
      return answer;
    } catch (error) {
      const failure = error instanceof RequestFailure ? error : malformed(options.config.endpoint, error);
      if (isOutage(failure)) failedAt = now();
      observe.introspected(name, failure.reason);
      log.warn(
        { authenticator: name, reason: failure.reason, error: failure.message },
        'a token could not be introspected',
      );
      throw introspectionUnavailable(failure);
    }
  }

  /** A clock that was set back never prolongs the cooldown. */
  function coolingDown(): boolean {
    const since = failedAt === undefined ? cooldownMs : now() - failedAt;
    return since >= 0 && since < cooldownMs;
  }

  function refuse(outcome: 'busy' | 'cooldown'): never {
    observe.introspected(name, outcome);
    throw introspectionUnavailable(undefined);
  }

  return {
    async introspect(token) {
      const key = hash('sha256', token, 'base64');
      const asked = underWay.get(key);
      if (asked !== undefined) return asked;
      if (coolingDown()) refuse('cooldown');
      if (underWay.size >= maxUnderWay) refuse('busy');
      const answer = attempt(token).finally(() => underWay.delete(key));
      underWay.set(key, answer);
      return answer;
    },
    close: () => void agent.close().catch(() => {}),
  };
}

function isOutage({ reason, status }: RequestFailure): boolean {
  return reason === 'connection' || reason === 'timeout' || (status !== undefined && outageStatuses.has(status));
}

/** What the library finds wrong about an answer. */
function malformed(endpoint: string, error: unknown): RequestFailure {
  return new RequestFailure('malformed', `${endpoint} answered what is no introspection: ${(error as Error).message}`);
}

/** One question, by oauth4webapi over our own connections. */
function createQuestion(
  { config, clientKey }: IntrospectionEndpointOptions,
  agent: Agent,
): (token: string) => Promise<Readonly<Record<string, unknown>> | undefined> {
  const server: AuthorizationServer = { issuer: config.issuer, introspection_endpoint: config.endpoint };
  const client: Client = { client_id: config.clientId };
  const authentication = authenticationOf(config, clientKey);
  return async (token) => {
    const signal = AbortSignal.timeout(totalTimeoutMs);
    const response = await introspectionRequest(server, client, authentication, token, {
      additionalParameters: { token_type_hint: 'access_token' },
      // `check` and the schema have decided where plain http is accepted.
      [allowInsecureRequests]: true,
      [customFetch]: async (address, { headers, body }) => {
        const content = String(body);
        const send = () =>
          requestBounded(address, {
            agent,
            signal,
            method: 'POST',
            headers,
            body: content,
            maxBytes: maxBodyBytes,
            mediaType: 'application/json',
          });
        const answer = await send().catch((error: unknown) => {
          if (!isStaleConnection(error)) throw error;
          return send();
        });
        return new Response(new Uint8Array(answer), { headers: { 'content-type': 'application/json' } });
      },
    });
    const answer = await processIntrospectionResponse(server, client, response);
    return answer.active ? answer : undefined;
  };
}

/** A connection that was kept open may be closed by the other side just when it is used; asking again changes nothing there. */
function isStaleConnection(error: unknown): boolean {
  if (!(error instanceof RequestFailure) || error.reason !== 'connection') return false;
  return ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'].includes((error.cause as NodeJS.ErrnoException).code ?? '');
}

function authenticationOf(config: IntrospectionAuthenticatorConfig, key: webcrypto.CryptoKey | undefined): ClientAuth {
  const { clientSecret = '', clientKeyId } = config;
  if (key !== undefined) {
    return PrivateKeyJwt({ key, ...(clientKeyId !== undefined && { kid: clientKeyId }) });
  }
  return config.clientAuthentication === 'client_secret_post'
    ? ClientSecretPost(clientSecret)
    : ClientSecretBasic(clientSecret);
}
