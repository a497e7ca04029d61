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
  /** Key sets by `keySetKey`: a reload goes on with those whose configuration is unchanged. */
  readonly keySets: Map<string, KeySet>;
  /** Introspection endpoints, in the same way. */
  readonly endpoints: Map<string, IntrospectionEndpoint>;
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
  /** The key sets that this snapshot uses, for readiness and metrics. */
  readonly keySets: readonly KeySet[];
  readonly endpoints: readonly IntrospectionEndpoint[];
  readonly observe: AuthenticationObserver;
}

interface Loaded {
  readonly config: Pick<Config, 'authenticators' | 'server'> & Partial<Pick<Config, 'routes'>>;
  readonly files: ReadonlyMap<string, Buffer>;
}

/** Creates them. Throws an Error that names the file or key when a CA, CRL or key entry cannot be used. */
export function createAuthenticators(loaded: Loaded, runtime: AuthenticatorRuntime): AuthenticatorSet {
  const keys: KeyOwner[] = [];
  const issuers = new Map<string, Authenticator>();
  const opaque = new Map<string, Authenticator>();
  const certificateVerifiers = new Map<string, CertificateVerifier>();
  const lasting = new Map<string, LastingAuthenticator>();
  const keySets: KeySet[] = [];
  const endpoints: IntrospectionEndpoint[] = [];
  const tokens = createTokenCache();
  const mirrored = mirroredIssuer(loaded.config);
  const trustStoreFor = createTrustStores(loaded, runtime.now);
  const clientTrust = trustStoreFor(undefined);

  for (const [name, config] of Object.entries(loaded.config.authenticators)) {
    switch (config.type) {
      case 'jwt': {
        const keySet = keySetFor(config, runtime, config.issuer === mirrored);
        keySets.push(keySet);
        const authenticator = createJwtAuthenticator(name, config, keySet, tokens);
        lasting.set(name, authenticator);
        issuers.set(config.issuer, authenticator);
        break;
      }
      case 'introspection': {
        const endpoint = endpointFor(name, config, loaded, runtime);
        endpoints.push(endpoint);
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

/** Closes the key sets and endpoints that none of these snapshots uses any more. */
export function closeUnused(
  runtime: Pick<AuthenticatorRuntime, 'keySets' | 'endpoints'>,
  inUse: readonly AuthenticatorSet[],
): void {
  closeOthers(runtime.keySets, new Set(inUse.flatMap((set) => set.keySets)));
  closeOthers(runtime.endpoints, new Set(inUse.flatMap((set) => set.endpoints)));
}

function closeOthers<T extends { close(): void }>(all: Map<string, T>, kept: ReadonlySet<T>): void {
  for (const [key, each] of all) {
    if (kept.has(each)) continue;
    all.delete(key);
    each.close();
  }
}

/** A reload goes on with an endpoint that is asked in the same way, its connections and its cooldown included. */
function endpointFor(
  name: string,
  config: IntrospectionAuthenticatorConfig,
  loaded: Loaded,
  runtime: AuthenticatorRuntime,
): IntrospectionEndpoint {
  const { endpoint, issuer, clientId, clientSecret, clientKeyFile, clientKeyId, clientAuthentication } = config;
  const pem = clientKeyFile === undefined ? undefined : contentOf(loaded, clientKeyFile);
  const asked = [name, endpoint, issuer, clientId, clientSecret, pem?.toString(), clientKeyId, clientAuthentication];
  const key = hash('sha256', JSON.stringify(asked), 'base64');
  const known = runtime.endpoints.get(key);
  if (known !== undefined) return known;
  const { log, now, observe } = runtime;
  const clientKey = pem && parseClientKey(pem);
  const created = createIntrospectionEndpoint({ name, config, clientKey, log, now, observe });
  runtime.endpoints.set(key, created);
  return created;
}

function keySetFor(
  config: Extract<AuthenticatorConfig, { type: 'jwt' }>,
  runtime: AuthenticatorRuntime,
  metadataWanted: boolean,
): KeySet {
  const key = keySetKey(config, metadataWanted);
  const known = runtime.keySets.get(key);
  if (known !== undefined) return known;
  const created = createKeySet({
    issuer: config.issuer,
    jwksUri: config.jwksUri,
    insecure: config.insecure,
    metadataWanted,
    refreshMs: config.keySet.refresh,
    maxStaleMs: config.keySet.maxStale,
    log: runtime.log,
    now: runtime.now,
    observe: runtime.observe,
    schedule: runtime.schedule,
  });
  runtime.keySets.set(key, created);
  return created;
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
