// Introspection client (RFC 7662): bounded in time, size and number, and silent shortly after an outage.
import type { webcrypto } from 'node:crypto';
import { type AuthorizationServer, introspectionRequest, processIntrospectionResponse } from 'oauth4webapi';
import { createBoundedCache } from '../bounded-cache.ts';
import type { Log } from '../log.ts';
import {
  boundedTransport,
  clientAuthenticationOf,
  type OAuthClientConfig,
  type TransportOptions,
} from './client-auth.ts';
import { introspectionUnavailable } from './errors.ts';
import { createExpiringSet } from './expiring-set.ts';
import { type ConnectionOptions, createBoundedConnections, RequestFailure } from './http-client.ts';
import { createSingleFlight, digestOf, maxConnections, type SingleFlightFailure } from './single-flight.ts';

/** The outcome of one request; a closed list, used as a metric label. */
export type IntrospectionOutcome = 'active' | 'inactive' | SingleFlightFailure;

/** An introspection endpoint (RFC 7662). */
export interface IntrospectionEndpoint {
  /**
   * The server's answer about a token; undefined when it is not active, or was not two seconds ago. `caller` is who shows it, for their share. Throws
   * GatewayError `idp_unavailable` when there is no answer.
   */
  introspect(token: string, caller: string): Promise<Readonly<Record<string, unknown>> | undefined>;
  /** Ends its connections once the requests in flight are answered. */
  close(): void;
}

/** Options of `createIntrospectionEndpoint`. */
export interface IntrospectionEndpointOptions extends Pick<ConnectionOptions, 'authorities' | 'egress'> {
  /** Of the authenticator. */
  readonly name: string;
  readonly config: OAuthClientConfig & { readonly issuer: string; readonly endpoint: string };
  /** Of `clientKeyFile`. */
  readonly clientKey: webcrypto.CryptoKey | undefined;
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly observe: { introspected(authenticator: string, outcome: IntrospectionOutcome): void };
}

const totalTimeoutMs = 5000;
const maxBodyBytes = 64 * 1024;
/** A token that becomes active is taken after this time at the latest. */
const inactiveForMs = 2000;
const inactiveLimits = { entries: 10_000, entriesPerCaller: 1000 };
const maxKnown = 10_000;

/** Creates it; nothing is sent yet. */
export function createIntrospectionEndpoint(options: IntrospectionEndpointOptions): IntrospectionEndpoint {
  const { name, log, now, observe, authorities, egress } = options;
  const timeoutMs = totalTimeoutMs;
  const connections = createBoundedConnections({ timeoutMs, connections: maxConnections, authorities, egress });
  const send = createRequest(options, { connections, timeoutMs, maxBytes: maxBodyBytes });
  const inactive = createExpiringSet(inactiveLimits);
  /** Digests of tokens that were active when they were last asked about. */
  const known = createBoundedCache<true>({ entries: maxKnown });
  const request = createSingleFlight({
    async send(token: string) {
      const answer = await send(token);
      observe.introspected(name, answer === undefined ? 'inactive' : 'active');
      return answer;
    },
    unavailable(reason, failure) {
      observe.introspected(name, reason);
      if (failure !== undefined) {
        log.warn({ authenticator: name, reason, error: failure.message }, 'a token could not be introspected');
      }
      return introspectionUnavailable(reason, failure);
    },
    now,
  });
  return {
    async introspect(token, caller) {
      const digest = digestOf(token);
      if (inactive.has(digest, now())) return undefined;
      const answer = await request({ digest, token, caller, known: known.has(digest) });
      if (answer !== undefined) known.set(digest, true);
      else {
        known.delete(digest);
        inactive.add(caller, digest, inactiveForMs, now());
      }
      return answer;
    },
    close: connections.close,
  };
}

/** One request. Throws a RequestFailure. */
function createRequest(
  { config, clientKey }: IntrospectionEndpointOptions,
  transport: TransportOptions,
): (token: string) => Promise<Readonly<Record<string, unknown>> | undefined> {
  const server: AuthorizationServer = { issuer: config.issuer, introspection_endpoint: config.endpoint };
  const client = { client_id: config.clientId };
  const authentication = clientAuthenticationOf(config, clientKey);
  return async (token) => {
    try {
      const response = await introspectionRequest(server, client, authentication, token, {
        additionalParameters: { token_type_hint: 'access_token' },
        ...boundedTransport(transport),
      });
      const answer = await processIntrospectionResponse(server, client, response);
      return answer.active ? answer : undefined;
    } catch (error) {
      if (error instanceof RequestFailure) throw error;
      const what = `answered what is no introspection: ${(error as Error).message}`;
      throw new RequestFailure('malformed', `${config.endpoint} ${what}`);
    }
  };
}
