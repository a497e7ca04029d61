// Registry of the authenticators of one configuration snapshot.
import type { NamedFiles } from '../named-files.ts';
import type { Egress } from '../oauth/egress.ts';
import type { IntrospectionEndpoint } from '../oauth/introspection-client.ts';
import type { AuthenticationObserver, AuthenticatorContext, AuthenticatorRuntime } from './authenticator-type.ts';
import { authenticatorTypeOf } from './authenticator-types.ts';
import { type IssuerConfig, mirroredIssuer } from './authorization-servers.ts';
import {
  type CertificateSource,
  type ClientCertificateConfig,
  clientAuthorities,
  compileCertificateSource,
} from './certificate/source.ts';
import {
  createTrustStore,
  parseAuthorities,
  parseRevocationLists,
  type TrustStore,
} from './certificate/trust-store.ts';
import { createCertificateReader } from './certificate/x509.ts';
import { type AuthenticatorIndex, indexAuthenticators } from './find-authenticator.ts';
import type { KeySet } from './token/jwks.ts';
import { createTokenCache, type TokenCache } from './token/token-cache.ts';

/** All authenticators of one snapshot. */
export interface AuthenticatorSet extends AuthenticatorIndex {
  /** Verified tokens of this snapshot. */
  readonly tokens: TokenCache;
  /** The authorities of client certificates; undefined where the listener asks for none. */
  readonly clientTrust: TrustStore | undefined;
  readonly certificateSource: CertificateSource;
  /** By what they are fetched for and how. */
  readonly keySets: ReadonlyMap<string, KeySet>;
  /** By a digest of how they are asked. */
  readonly endpoints: ReadonlyMap<string, IntrospectionEndpoint>;
  readonly observe: AuthenticationObserver;
}

interface Loaded {
  readonly config: IssuerConfig & { readonly server: ClientCertificateConfig };
  readonly files: NamedFiles;
  readonly egress: Egress;
}

/**
 * Creates them; nothing is fetched before `startAuthenticators`. Key sets and introspection endpoints that `previous` has unchanged are carried over,
 * with their keys, connections and cooldowns. Throws an Error that names the file or key when a CA, CRL or key entry cannot be used.
 */
export function createAuthenticators(
  loaded: Loaded,
  runtime: AuthenticatorRuntime,
  previous?: AuthenticatorSet,
): AuthenticatorSet {
  const keySets = new Map<string, KeySet>();
  const endpoints = new Map<string, IntrospectionEndpoint>();
  const trustStore = createTrustStores(loaded, runtime.now);
  const clientTrust = trustStore(undefined);
  const context: AuthenticatorContext = {
    ...runtime,
    mirroredIssuer: mirroredIssuer(loaded.config),
    keySet: (key, open) => carryOver(key, keySets, previous?.keySets, open),
    endpoint: (key, open) => carryOver(key, endpoints, previous?.endpoints, open),
    trustStore,
    files: loaded.files,
    egress: loaded.egress,
  };
  const authenticators = Object.entries(loaded.config.authenticators).map(([name, config]) =>
    authenticatorTypeOf(config).create(name, config, context),
  );
  return {
    ...indexAuthenticators(authenticators),
    tokens: createTokenCache(),
    clientTrust,
    certificateSource: compileCertificateSource(loaded.config.server, clientTrust),
    keySets,
    endpoints,
    observe: runtime.observe,
  };
}

function carryOver<T>(
  key: string,
  all: Map<string, T>,
  previous: ReadonlyMap<string, T> | undefined,
  open: () => T,
): T {
  const shared = previous?.get(key) ?? open();
  all.set(key, shared);
  return shared;
}

/** Begins to fetch the keys of a set that comes into force; those carried over go on as they are. */
export function startAuthenticators({ keySets }: Pick<AuthenticatorSet, 'keySets'>): void {
  for (const keySet of keySets.values()) keySet.start();
}

/** Closes the key sets and endpoints that `kept` does not go on with. */
export function closeAuthenticators(
  set: Pick<AuthenticatorSet, 'keySets' | 'endpoints'>,
  kept?: Pick<AuthenticatorSet, 'keySets' | 'endpoints'>,
): void {
  for (const [key, keySet] of set.keySets) if (kept?.keySets.get(key) !== keySet) keySet.close();
  for (const [key, endpoint] of set.endpoints) if (kept?.endpoints.get(key) !== endpoint) endpoint.close();
}

/** One store for all of `clientCaFile`, and one for each `caFile`, which must be among those authorities. */
function createTrustStores(loaded: Loaded, now: () => number): (caFile: string | undefined) => TrustStore | undefined {
  const authorities = clientAuthorities(loaded.config.server);
  if (authorities === undefined) return () => undefined;
  const { caFile: allFile, crlFile } = authorities;
  const read = createCertificateReader();
  const { files } = loaded;
  const open = (path: string | undefined) =>
    naming([path, crlFile], () => {
      const lists = crlFile === undefined ? undefined : files.parse(crlFile, parseRevocationLists);
      return createTrustStore({ authorities: files.parse(path ?? '', parseAuthorities), lists, now, read });
    });
  const all = open(allFile);
  return (caFile) => {
    if (caFile === undefined) return all;
    const store = open(caFile);
    if (![...store.anchors].every((anchor) => all.anchors.has(anchor))) {
      throw new Error(`${caFile}: its authority is not one of those in ${allFile}`);
    }
    return store;
  };
}

function naming<T>(paths: readonly (string | undefined)[], create: () => T): T {
  try {
    return create();
  } catch (error) {
    const named = paths.filter((path) => path !== undefined).join(', ');
    throw new Error(`client certificates (${named || 'no clientCaFile'}): ${(error as Error).message}`, {
      cause: error,
    });
  }
}
