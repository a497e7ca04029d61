// Authenticators of the console: those of the configuration, for the console's own resource and the certificates of its listener.

import { authenticatorNamesOf } from '../../authn/alternatives.ts';
import type { Authenticator, TokenAuthenticator } from '../../authn/authenticator.ts';
import type { AuthenticatorRuntime } from '../../authn/authenticator-type.ts';
import { type AuthenticatorSet, createAuthenticators } from '../../authn/registry.ts';
import { compileRequirements, type Requirements } from '../../authn/requirements.ts';
import type { TokenConfig } from '../../authn/token/token-config.ts';
import { adminTlsOf } from '../../config/admin-tls.ts';
import type { LoadedConfig } from '../../config/load.ts';
import type { AuthenticatorConfig, Config } from '../../config/schema/config.ts';

/** The authenticators with what they must verify. */
export interface ConsoleAuthenticators {
  readonly set: AuthenticatorSet;
  readonly requirements: Requirements;
  /** Of the ID tokens of log-ins; undefined without `admin.login`. */
  readonly idTokens: TokenAuthenticator | undefined;
  readonly idTokenConfig: JwtConfig | undefined;
}

type JwtConfig = Extract<AuthenticatorConfig, { type: 'jwt' }>;

/** Claims that say what a token is for, and so differ in ID tokens. */
const kindClaims: readonly string[] = ['typ', 'token_use'];

/**
 * Creates them beside those of the gateway, whose key sets and endpoints they share. A token must be for the console: the audiences of a jwt authenticator
 * are resources of routes, unless its issuer has names of its own for the gateway.
 */
export function createConsoleAuthenticators(
  loaded: LoadedConfig,
  runtime: AuthenticatorRuntime,
  shared: AuthenticatorSet,
): ConsoleAuthenticators {
  const { config } = loaded;
  const { authenticate } = config.admin;
  if (authenticate === undefined) throw new Error('the console asks nobody who it is');
  const named = new Set(authenticatorNamesOf(authenticate));
  const create = (authenticators: Config['authenticators']) => {
    const server = { ...config.server, tls: adminTlsOf(config), clientCertificateHeader: undefined };
    return createAuthenticators({ ...loaded, config: { ...config, authenticators, server } }, runtime, shared);
  };
  // A certificate of another authenticator's clients is none here, and its authority may not be one of this listener.
  const kept = Object.entries(config.authenticators).filter(([name, { type }]) => type !== 'mtls' || named.has(name));
  const all = Object.fromEntries(kept.map(([name, each]) => [name, forConsole(each)]));
  const set = create(all);
  const login = loginOf(config);
  const idTokenConfig = login && idTokensOf(login.authenticator, login.clientId);
  const idTokens = login && idTokenConfig && create({ ...all, [login.name]: idTokenConfig }).byName.get(login.name);
  return {
    set,
    requirements: compileRequirements({ authenticate }, set.byName, config.scopeImplies),
    idTokens: isOfTokens(idTokens) ? idTokens : undefined,
    idTokenConfig,
  };
}

/** The authenticator at whose issuer people log in, and the client that the console is there. */
export function loginOf({
  admin,
  authenticators,
}: Pick<Config, 'admin' | 'authenticators'>):
  | { readonly name: string; readonly authenticator: JwtConfig; readonly clientId: string }
  | undefined {
  if (admin.login === undefined || admin.authenticate === undefined) return undefined;
  const { authenticator = authenticatorNamesOf(admin.authenticate).find(isJwt), clientId } = admin.login;
  function isJwt(name: string): boolean {
    return authenticators[name]?.type === 'jwt';
  }
  const config = authenticator === undefined ? undefined : authenticators[authenticator];
  return config?.type === 'jwt' ? { name: authenticator!, authenticator: config, clientId } : undefined;
}

function forConsole(config: AuthenticatorConfig): AuthenticatorConfig {
  return 'audienceForm' in config && config.audienceForm === 'resource' ? { ...config, audience: undefined } : config;
}

/** OpenID Connect Core §3.1.3.7: for the client, signed with the keys of the issuer. Claims are what they are in access tokens. */
function idTokensOf(config: JwtConfig, clientId: string): JwtConfig & Pick<TokenConfig, 'idTokens'> {
  const required = Object.entries(config.requiredClaims).filter(([claim]) => !kindClaims.includes(claim));
  return {
    ...config,
    idTokens: true,
    audience: clientId,
    audienceForm: 'identifier',
    tokenTypes: ['JWT', 'none'],
    requireClientId: false,
    requiredClaims: Object.fromEntries(required),
  };
}

function isOfTokens(authenticator: Authenticator | undefined): authenticator is TokenAuthenticator {
  return authenticator?.accepts === 'access-token';
}
