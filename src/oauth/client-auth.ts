// Client authentication of the gateway (RFC 6749 §2.3, RFC 7523), and the bounded transport of oauth4webapi.
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
import * as z from 'zod';
import { type Path, readAt, type SectionReporter } from '../config/schema/reporter.ts';
import { filePath, text } from '../config/schema/values.ts';
import { parseClientKey } from './client-key.ts';
import { answerBounded, type BoundedConnections, RequestFailure } from './http-client.ts';

/** Configuration keys wherever the gateway is a client. */
export const oauthClientKeys = {
  clientId: text.describe('The gateway as a client of the authorization server.'),
  clientSecret: text.optional().describe('Its secret; either this or clientKeyFile.'),
  clientKeyFile: filePath.optional().describe('PEM, its private key (private_key_jwt).'),
  clientKeyId: text.optional().describe('The `kid` of that key at the authorization server.'),
  clientAuthentication: z
    .enum(['client_secret_basic', 'client_secret_post', 'private_key_jwt'])
    .optional()
    .describe('How it authenticates; default client_secret_basic, and private_key_jwt with clientKeyFile.'),
};
export type OAuthClientConfig = z.output<z.ZodObject<typeof oauthClientKeys>>;

/** Checks the section at `path`: one credential, unless it may be a public client, a key that can be used, and what fits to it. */
export function checkOAuthClient(
  config: OAuthClientConfig,
  path: Path,
  reporter: SectionReporter,
  mayBePublic = false,
): void {
  const { clientSecret, clientKeyFile, clientKeyId, clientAuthentication } = config;
  readAt(reporter, [...path, 'clientKeyFile'], clientKeyFile, parseClientKey);
  if (!reporter.isWhole(path)) return;
  const given = [clientSecret, clientKeyFile].filter((each) => each !== undefined).length;
  if (given === 0 && !mayBePublic) {
    reporter.error(path, 'needs either clientSecret or clientKeyFile: the endpoint answers authenticated clients only');
  } else if (given === 2) {
    reporter.error(path, 'needs either clientSecret or clientKeyFile, not both');
  } else if (clientAuthentication !== undefined) {
    const withKey = clientAuthentication === 'private_key_jwt';
    if (withKey !== (clientKeyFile !== undefined)) {
      reporter.error([...path, 'clientAuthentication'], `needs ${withKey ? 'clientKeyFile' : 'clientSecret'}`);
    }
  }
  if (clientKeyId !== undefined && clientKeyFile === undefined) {
    reporter.error([...path, 'clientKeyId'], 'has no meaning without clientKeyFile');
  }
}

/** Options of a bounded transport. */
export interface TransportOptions {
  readonly connections: BoundedConnections;
  /** For the request with its answer. */
  readonly timeoutMs: number;
  readonly maxBytes: number;
  /** Accepted statuses; default 200 only. */
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

/** A kept connection may be closed by the server just when it is used; sending again changes nothing there. */
function isStaleConnection(error: unknown): boolean {
  if (!(error instanceof RequestFailure) || error.reason !== 'connection') return false;
  return ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'].includes((error.cause as NodeJS.ErrnoException).code ?? '');
}
