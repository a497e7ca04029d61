// All authenticators of one configuration snapshot, from an explicit table by type.
import type { AuthenticatorConfig, Config } from '../config/schema.ts';
import type { Log } from '../log.ts';
import { createApiKeyAuthenticator } from './api-key.ts';
import type { Authenticator, CertificateVerifier, LastingAuthenticator } from './authenticator.ts';
import { createCertificateReader } from './certificate.ts';
import { createJwtAuthenticator } from './jwt.ts';
import { createKeySet, type KeySet, keySetKey } from './key-set.ts';
import { createMtlsAuthenticator } from './mtls.ts';
import type { KeyOwner, Owners } from './owner.ts';
import { createTokenCache, type TokenCache } from './token-cache.ts';
import { createTrustStore, type TrustStore } from './trust-store.ts';

export interface AuthenticationObserver {
  /** `authenticator` is `none` for what nobody owns, `reason` is `none` for what verified; no `seconds` for a token that was known. */
  credentialJudged(
    authenticator: string,
    result: 'verified' | 'refused' | 'unavailable',
    reason: string,
    seconds: number | undefined,
  ): void;
  keySetRefreshFailed(issuer: string): void;
}

/** What outlives a snapshot. */
export interface AuthenticatorRuntime {
  /** Key sets by `keySetKey`: a reload goes on with those whose configuration is unchanged. */
  readonly keySets: Map<string, KeySet>;
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly observe: AuthenticationObserver;
}

export interface AuthenticatorSet {
  readonly owners: Owners;
  readonly certificateVerifiers: ReadonlyMap<string, CertificateVerifier>;
  /** The verifiers of tokens and keys by name. */
  readonly lasting: ReadonlyMap<string, LastingAuthenticator>;
  /** Undefined where the listener asks for no certificates. */
  readonly clientTrust: TrustStore | undefined;
  readonly tokens: TokenCache;
  /** The key sets that this snapshot uses, for readiness and metrics. */
  readonly keySets: readonly KeySet[];
  readonly observe: AuthenticationObserver;
}

interface Loaded {
  readonly config: Pick<Config, 'authenticators' | 'server'>;
  readonly files: ReadonlyMap<string, Buffer>;
}

/** Creates them. Throws an Error that names the file or key when a CA, CRL or key entry cannot be used. */
export function createAuthenticators(loaded: Loaded, runtime: AuthenticatorRuntime): AuthenticatorSet {
  const keys: KeyOwner[] = [];
  const issuers = new Map<string, Authenticator>();
  const certificateVerifiers = new Map<string, CertificateVerifier>();
  const lasting = new Map<string, LastingAuthenticator>();
  const keySets: KeySet[] = [];
  const tokens = createTokenCache();
  const trustStoreFor = createTrustStores(loaded, runtime.now);

  for (const [name, config] of Object.entries(loaded.config.authenticators)) {
    switch (config.type) {
      case 'jwt': {
        const keySet = keySetFor(config, runtime);
        keySets.push(keySet);
        const authenticator = createJwtAuthenticator(name, config, keySet, tokens);
        lasting.set(name, authenticator);
        issuers.set(config.issuer, authenticator);
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
    owners: { keys, issuers },
    certificateVerifiers,
    lasting,
    clientTrust: trustStoreFor(undefined),
    tokens,
    keySets,
    observe: runtime.observe,
  };
}

/** Closes the key sets that none of these snapshots uses any more. */
export function closeUnusedKeySets(keySets: Map<string, KeySet>, inUse: readonly AuthenticatorSet[]): void {
  for (const [key, keySet] of keySets) {
    if (inUse.some((set) => set.keySets.includes(keySet))) continue;
    keySets.delete(key);
    keySet.close();
  }
}

function keySetFor(config: Extract<AuthenticatorConfig, { type: 'jwt' }>, runtime: AuthenticatorRuntime): KeySet {
  const key = keySetKey(config);
  const known = runtime.keySets.get(key);
  if (known !== undefined) return known;
  const created = createKeySet({
    issuer: config.issuer,
    jwksUri: config.jwksUri,
    insecure: config.insecure,
    refreshMs: config.keySet.refresh,
    maxStaleMs: config.keySet.maxStale,
    log: runtime.log,
    now: runtime.now,
    observe: runtime.observe,
  });
  runtime.keySets.set(key, created);
  return created;
}

/** One store for all of `clientCaFile`, and one for each `caFile`, which must be among those authorities. */
function createTrustStores(loaded: Loaded, now: () => number): (caFile: string | undefined) => TrustStore | undefined {
  const { tls } = loaded.config.server;
  if (tls === undefined || tls.clientCertificates === 'off') return () => undefined;
  const read = createCertificateReader();
  const crlPem = tls.clientCrlFile === undefined ? undefined : contentOf(loaded, tls.clientCrlFile);
  const open = (path: string | undefined) =>
    naming([path, tls.clientCrlFile], () => createTrustStore({ caPem: contentOf(loaded, path), crlPem, now, read }));
  const all = open(tls.clientCaFile);
  return (caFile) => {
    if (caFile === undefined) return all;
    const store = open(caFile);
    if (![...store.anchors].every((anchor) => all.anchors.has(anchor))) {
      throw new Error(`${caFile}: its authority is not one of those in ${tls.clientCaFile}`);
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
