// Upstream credentials: an assertion of the gateway, or a token of the caller's issuer by token exchange.
import { hash } from 'node:crypto';
import type { Caller } from '../../authn/caller/principal.ts';
import { credentialRefused } from '../../authn/errors.ts';
import type { AssertionConfig, Config } from '../../config/schema/config.ts';
import { GatewayError } from '../../errors.ts';
import type { NamedFiles } from '../../named-files.ts';
import { authoritiesOf } from '../../oauth/authorities.ts';
import { parseClientKey } from '../../oauth/client-key.ts';
import {
  createTokenExchange,
  type ExchangeConfig,
  type TokenExchange,
  type TokenExchangeOptions,
} from '../../oauth/token-exchange.ts';
import { parsePrivateKey } from '../../pem.ts';
import { compileAssertion } from '../../upstream/identity/assertion.ts';
import { type AssertionKey, assertionKeyOf, type EphemeralKeys } from '../../upstream/identity/assertion-key.ts';

/**
 * Gives the Authorization header for one caller; a promise only where it is signed or fetched. `presented` is the Authorization header of the
 * caller's request, which is not kept. Throws GatewayError.
 */
export type AuthorizeCaller = (
  caller: Caller,
  nowMs: number,
  presented: string | undefined,
) => string | Promise<string>;

/** Makes the credentials of one upstream. */
export interface UpstreamIdentity {
  readonly authorize: AuthorizeCaller;
  /**
   * The claims of a caller's assertion but those of time; undefined where a token is exchanged. Throws GatewayError `denied` for a caller whom
   * `authorize` denies whatever its token.
   */
  readonly claimsOf: (caller: Caller) => Readonly<Record<string, unknown>> | undefined;
  /** The signing key and older ones, all of which are published. */
  readonly keys: readonly AssertionKey[];
  /** The token exchange, carried over reloads with the same `key`. */
  readonly exchange: { readonly key: string; readonly tokens: TokenExchange } | undefined;
}

/** Dependencies of the credentials. */
export interface IdentityContext extends Pick<TokenExchangeOptions, 'egress' | 'log' | 'now' | 'observe'> {
  readonly config: Config;
  readonly files: NamedFiles;
  readonly ephemeralKeys: EphemeralKeys;
  /** The credential of the previous configuration for this upstream. */
  readonly previous: UpstreamIdentity | undefined;
}

/** Compiles the credentials of an upstream; undefined when it gets none. Throws an Error that names the key of an unusable file. */
export function compileUpstreamIdentity(name: string, context: IdentityContext): UpstreamIdentity | undefined {
  const { assertion, exchange } = context.config.upstreams[name]?.identity ?? {};
  if (assertion !== undefined) return assertionOf(name, assertion, context);
  return exchange === undefined ? undefined : exchangeOf(name, exchange, context);
}

function assertionOf(name: string, assertion: AssertionConfig, context: IdentityContext): UpstreamIdentity {
  const [first, ...others] = assertion.keyFiles.map((path, index) =>
    naming(`upstreams.${name}.identity.assertion.keyFiles[${index}]`, () =>
      assertionKeyOf(context.files.parse(path, parsePrivateKey), assertion.algorithm),
    ),
  );
  const keys = [first ?? context.ephemeralKeys(assertion.algorithm), ...others] as const;
  return { ...compileAssertion(assertion, context.config.server.publicUrl, keys), keys, exchange: undefined };
}

function exchangeOf(name: string, config: ExchangeConfig, context: IdentityContext): UpstreamIdentity {
  const authenticator = context.config.authenticators[config.authenticator];
  if (authenticator === undefined || !('issuer' in authenticator)) {
    throw new Error(`upstreams.${name}.identity.exchange.authenticator: "${config.authenticator}" has no tokens`);
  }
  const { issuer } = authenticator;
  const { clientKeyFile } = config;
  const pem = clientKeyFile === undefined ? undefined : context.files.get(clientKeyFile);
  const { egress, files, previous, log, now, observe } = context;
  const authorities = authoritiesOf({ caFile: config.caFile ?? authenticator.caFile }, context);
  const asked = [name, issuer, config, pem?.toString(), authorities, egress];
  const key = hash('sha256', JSON.stringify(asked), 'base64');
  if (previous?.exchange?.key === key) return previous;
  const clientKey =
    clientKeyFile === undefined
      ? undefined
      : naming(`upstreams.${name}.identity.exchange.clientKeyFile`, () => files.parse(clientKeyFile, parseClientKey));
  const tokens = createTokenExchange({ name, config, issuer, clientKey, authorities, egress, log, now, observe });
  return {
    authorize: ({ principal, subjectKey: caller }, nowMs, presented) => {
      const token = principal.authenticator === config.authenticator ? tokenIn(presented) : undefined;
      // Accepted by the clock tolerance only.
      if ((principal.expiresAt ?? Number.POSITIVE_INFINITY) <= nowMs)
        throw credentialRefused('access-token', 'expired');
      const { expiresAt } = principal;
      return tokens.exchange({ token: token ?? refuse(), expiresAt, caller }, nowMs);
    },
    claimsOf: ({ principal }) => (principal.authenticator === config.authenticator ? undefined : refuse()),
    keys: [],
    exchange: { key, tokens },
  };
}

/** The token without its scheme. Its form was checked at the extraction. */
function tokenIn(presented: string | undefined): string | undefined {
  return presented === undefined ? undefined : /^[A-Za-z]+ (.+)$/.exec(presented)?.[1];
}

function refuse(): never {
  throw new GatewayError(
    'denied',
    'The server behind this gateway is reached with an access token only. Obtain one from the authorization server of this resource.',
    { reason: 'identity', detail: { identity: { missing: 'token' } } },
  );
}

function naming<T>(at: string, create: () => T): T {
  try {
    return create();
  } catch (error) {
    throw new Error(`${at}: ${(error as Error).message}`, { cause: error });
  }
}
