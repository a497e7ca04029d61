// The gateway as an OAuth client: how it authenticates, and how oauth4webapi sends over bounded connections of our own.
import type { webcrypto } from 'node:crypto';
import {
  allowInsecureRequests,
  type ClientAuth,
  ClientSecretBasic,
  ClientSecretPost,
  type CustomFetchOptions,
  customFetch,
  PrivateKeyJwt,
} from 'oauth4webapi';
import type { OAuthClientConfig } from '../config/schema/config.ts';
import { answerBounded, type BoundedConnections, RequestFailure } from './http-client.ts';

export interface TransportOptions {
  readonly connections: BoundedConnections;
  /** For the request with its answer. */
  readonly timeoutMs: number;
  readonly maxBytes: number;
  /** What may be answered; default 200 only. */
  readonly statuses?: readonly number[];
}

/** `key` is that of `clientKeyFile`. */
export function clientAuthenticationOf(config: OAuthClientConfig, key: webcrypto.CryptoKey | undefined): ClientAuth {
  const { clientSecret = '', clientKeyId } = config;
  if (key !== undefined) {
    return PrivateKeyJwt({ key, ...(clientKeyId !== undefined && { kid: clientKeyId }) });
  }
  return config.clientAuthentication === 'client_secret_post'
    ? ClientSecretPost(clientSecret)
    : ClientSecretBasic(clientSecret);
}

/** Options for one request of oauth4webapi. It throws a RequestFailure. No header of the answer is handed on. */
export function boundedTransport({ connections, timeoutMs, maxBytes, statuses }: TransportOptions) {
  const signal = AbortSignal.timeout(timeoutMs);
  return {
    // `check` and the schema have decided where plain http is accepted.
    [allowInsecureRequests]: true,
    async [customFetch](address: string, { headers, body }: CustomFetchOptions<'POST', unknown>): Promise<Response> {
      const content = String(body);
      const send = () =>
        answerBounded(address, {
          agent: connections.agent(),
          signal,
          method: 'POST',
          headers,
          body: content,
          maxBytes,
          mediaType: 'application/json',
          ...(statuses !== undefined && { statuses }),
        });
      const answer = await send().catch((error: unknown) => {
        if (!isStaleConnection(error)) throw error;
        return send();
      });
      const answered = { 'content-type': 'application/json' };
      return new Response(new Uint8Array(answer.body), { status: answer.status, headers: answered });
    },
  };
}

/** A connection that was kept open may be closed by the other side just when it is used; asking again changes nothing there. */
function isStaleConnection(error: unknown): boolean {
  if (!(error instanceof RequestFailure) || error.reason !== 'connection') return false;
  return ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'].includes((error.cause as NodeJS.ErrnoException).code ?? '');
}
