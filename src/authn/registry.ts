// All authenticators of one configuration snapshot, from an explicit table by type.
import { hash } from 'node:crypto';
import type { AuthenticatorConfig, Config, IntrospectionAuthenticatorConfig } from '../config/schema/config.ts';
import type { Log } from '../log.ts';
import { parseClientKey } from '../oauth/client-key.ts';
import {
  createIntrospectionEndpoint,
  type IntrospectionEndpoint,
  type IntrospectionOutcome,
} from '../oauth/introspection-client.ts';
import { createApiKeyAuthenticator } from './api-key.ts';
import type { Authenticator, CertificateVerifier, LastingAuthenticator } from './authenticator.ts';
import { mirroredIssuer } from './authorization-servers.ts';
import { createMtlsAuthenticator } from './certificate/mtls.ts';
import { type CertificateSource, clientAuthorities, compileCertificateSource } from './certificate/source.ts';
import { createTrustStore, type TrustStore } from './certificate/trust-store.ts';
import { createCertificateReader } from './certificate/x509.ts';
import type { KeyOwner, Owners } from './find-authenticator.ts';
import { createProofVerifier, type ProofMemory, type ProofVerifier } from './token/dpop.ts';
import { createIntrospectionAuthenticator } from './token/introspection.ts';
import { createKeySet, type KeySet, keySetKey, type Schedule } from './token/jwks.ts';
import { createJwtAuthenticator } from './token/jwt.ts';
import { createTokenCache, type TokenCache } from './token/token-cache.ts';

export interface AuthenticationObserver {
  /** `authenticator` is `none` for what nobody owns, `reason` is `none` for what verified; no `seconds` for a token that was known. */
  credentialJudged(
    authenticator: string,
    result: 'verified' | 'refused' | 'unavailable',
    reason: string,
    seconds: number | undefined,
  ): void;
  keySetRefreshFailed(issuer: string): void;
  /** One question to an introspection endpoint, or one that was not asked because it had failed or was busy. */
  introspected(authenticator: string, outcome: IntrospectionOutcome): void;
}

/** What outlives a snapshot. */
export interface AuthenticatorRuntime {
  readonly proofMemory: ProofMemory;
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly observe: AuthenticationObserver;
  /** How key sets wait for their next fetch; default: timers. */
  readonly schedule?: Schedule | undefined;
}

export interface AuthenticatorSet {
  readonly owners: Owners;
  readonly certificateVerifiers: ReadonlyMap<string, CertificateVerifier>;
  /** The verifiers of tokens and keys by name. */
  readonly lasting: ReadonlyMap<string, LastingAuthenticator>;
  /** Undefined where the listener asks for no certificates. */
  readonly clientTrust: TrustStore | undefined;
  /** Which certificate counts for a request. */
  readonly certificateSource: CertificateSource;
  /** The verifiers of DPoP proofs, by the authenticator of their tokens; none where it takes no such tokens. */
  readonly proofs: ReadonlyMap<string, ProofVerifier>;
  readonly tokens: TokenCache;
  /** By `keySetKey`. */
  readonly keySets: ReadonlyMap<string, KeySet>;
  /** By a digest of how they are asked. */
  readonly endpoints: ReadonlyMap<string, IntrospectionEndpoint>;
  readonly observe: AuthenticationObserver;
}

interface Loaded {
  readonly config: Pick<Config, 'authenticators' | 'server'> & Partial<Pick<Config, 'routes'>>;
  readonly files: ReadonlyMap<string, Buffer>;
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
  const keys: KeyOwner[] = [];
  const issuers = new Map<string, Authenticator>();
  const opaque = new Map<string, Authenticator>();
  const certificateVerifiers = new Map<string, CertificateVerifier>();
  const lasting = new Map<string, LastingAuthenticator>();
  const keySets = new Map<string, KeySet>();
  const endpoints = new Map<string, IntrospectionEndpoint>();
  const tokens = createTokenCache();
  const mirrored = mirroredIssuer(loaded.config);
  const trustStoreFor = createTrustStores(loaded, runtime.now);
  const clientTrust = trustStoreFor(undefined);

  for (const [name, config] of Object.entries(loaded.config.authenticators)) {
    switch (config.type) {
      case 'jwt': {
        const metadataWanted = config.issuer === mirrored;
        const key = keySetKey(config, metadataWanted);
        const keySet = previous?.keySets.get(key) ?? openKeySet(config, runtime, metadataWanted);
        keySets.set(key, keySet);
        const authenticator = createJwtAuthenticator(name, config, keySet, tokens);
        lasting.set(name, authenticator);
        issuers.set(config.issuer, authenticator);
        break;
      }
      case 'introspection': {
        const pem = config.clientKeyFile === undefined ? undefined : contentOf(loaded, config.clientKeyFile);
        const key = endpointKey(name, config, pem);
        const endpoint = previous?.endpoints.get(key) ?? openEndpoint(name, config, pem, runtime);
        endpoints.set(key, endpoint);
        const authenticator = createIntrospectionAuthenticator(name, config, endpoint, tokens);
        lasting.set(name, authenticator);
        issuers.set(config.issuer, authenticator);
        opaque.set(name, authenticator);
        break;
      }
      case 'apiKey': {
        const { prefix, header } = config;
        const authenticator = createApiKeyAuthenticator(name, config);
        lasting.set(name, authenticator);
        keys.push({ authenticator, prefix, header });
        break;
      }
      case 'mtls':
        certificateVerifiers.set(name, createMtlsAuthenticator(name, config, trustStoreFor(config.caFile)));
        break;
      default:
        throw unknownType(config);
    }
  }
  keys.sort((a, b) => b.prefix.length - a.prefix.length);
  return {
    owners: { keys, issuers, opaque },
    certificateVerifiers,
    lasting,
    clientTrust,
    certificateSource: compileCertificateSource(loaded.config.server, clientTrust),
    proofs: createProofVerifiers(loaded.config.authenticators, runtime.proofMemory),
    tokens,
    keySets,
    endpoints,
    observe: runtime.observe,
  };
}

function createProofVerifiers(
  authenticators: Config['authenticators'],
  memory: ProofMemory,
): ReadonlyMap<string, ProofVerifier> {
  const verifiers = new Map<string, ProofVerifier>();
  for (const [name, config] of Object.entries(authenticators)) {
    if ('dpop' in config && config.dpop !== 'off') verifiers.set(name, createProofVerifier(config.dpop, memory));
  }
  return verifiers;
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

/** Equal for endpoints that are asked in the same way. */
function endpointKey(name: string, config: IntrospectionAuthenticatorConfig, clientKeyPem: Buffer | undefined): string {
  const { endpoint, issuer, clientId, clientSecret, clientKeyId, clientAuthentication } = config;
  const pem = clientKeyPem?.toString();
  const asked = [name, endpoint, issuer, clientId, clientSecret, pem, clientKeyId, clientAuthentication];
  return hash('sha256', JSON.stringify(asked), 'base64');
}

function openEndpoint(
  name: string,
  config: IntrospectionAuthenticatorConfig,
  clientKeyPem: Buffer | undefined,
  { log, now, observe }: AuthenticatorRuntime,
): IntrospectionEndpoint {
  const clientKey = clientKeyPem && parseClientKey(clientKeyPem);
  return createIntrospectionEndpoint({ name, config, clientKey, log, now, observe });
}

function openKeySet(
  config: Extract<AuthenticatorConfig, { type: 'jwt' }>,
  { log, now, observe, schedule }: AuthenticatorRuntime,
  metadataWanted: boolean,
): KeySet {
  return createKeySet({
    issuer: config.issuer,
    jwksUri: config.jwksUri,
    insecure: config.insecure,
    metadataWanted,
    refreshMs: config.keySet.refresh,
    maxStaleMs: config.keySet.maxStale,
    log,
    now,
    observe,
    schedule,
  });
}

/** One store for all of `clientCaFile`, and one for each `caFile`, which must be among those authorities. */
function createTrustStores(loaded: Loaded, now: () => number): (caFile: string | undefined) => TrustStore | undefined {
  const authorities = clientAuthorities(loaded.config.server);
  if (authorities === undefined) return () => undefined;
  const { caFile: allFile, crlFile } = authorities;
  const read = createCertificateReader();
  const crlPem = crlFile === undefined ? undefined : contentOf(loaded, crlFile);
  const open = (path: string | undefined) =>
    naming([path, crlFile], () => createTrustStore({ caPem: contentOf(loaded, path), crlPem, now, read }));
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

function contentOf(loaded: Loaded, path: string | undefined): Buffer {
  const content = path === undefined ? undefined : loaded.files.get(path);
  if (content === undefined || content.length === 0) throw new Error('the file is missing or empty');
  return content;
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

function unknownType(config: never): Error {
  return new Error(`unknown authenticator type ${JSON.stringify((config as { type?: unknown }).type)}`);
}
