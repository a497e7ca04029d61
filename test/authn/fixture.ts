// Fixtures of the tests of authentication: a clock that stands still, an observer that remembers, a configuration in a few words.
import { X509Certificate } from 'node:crypto';
import { pino } from 'pino';
import type { Test } from 'tap';
import type { AuthenticationRequest } from '../../src/authn/authenticate.ts';
import type { AuthenticatorRuntime } from '../../src/authn/authenticator-type.ts';
import { type AuthenticatorConfig, authenticatorSchema } from '../../src/authn/authenticator-types.ts';
import { nothingRevoked } from '../../src/authn/caller/revocations.ts';
import type { CredentialRecord, PeerCertificate } from '../../src/authn/credential.ts';
import {
  type AuthenticatorSet,
  closeAuthenticators,
  createAuthenticators,
  startAuthenticators,
} from '../../src/authn/registry.ts';
import { createProofMemory } from '../../src/authn/token/binding/dpop.ts';
import type { Config } from '../../src/config/schema/config.ts';
import { createNamedFiles } from '../../src/named-files.ts';
import { egressOf } from '../../src/oauth/egress.ts';
import { createLocalState } from '../../src/state/local-state.ts';

export const resource = 'https://mcp.example.com/mcp';

export interface Judgement {
  readonly authenticator: string;
  readonly result: string;
  readonly reason: string;
  /** The verification was not made anew. */
  readonly cached: boolean;
}

export interface TestRuntime extends AuthenticatorRuntime {
  /** Milliseconds since 1970; stands still until it is moved. */
  clock: number;
  readonly judgements: Judgement[];
  refreshFailures: number;
  /** What `createSet` has made. */
  readonly opened: AuthenticatorSet[];
}

/** A runtime whose key sets are closed when the test ends. */
export function createRuntime(t: Test, clock: number = Date.now()): TestRuntime {
  const judgements: Judgement[] = [];
  const runtime: TestRuntime = {
    clock,
    judgements,
    refreshFailures: 0,
    opened: [],
    proofMemory: createProofMemory(createLocalState({ now: () => runtime.clock })),
    log: pino({ level: 'silent' }),
    now: () => runtime.clock,
    observe: {
      authenticationAttempted: (authenticator, result, reason, seconds) =>
        void judgements.push({ authenticator, result, reason, cached: seconds === undefined }),
      keySetRefreshFailed: () => void runtime.refreshFailures++,
      introspected: () => {},
    },
  };
  t.teardown(() => {
    for (const set of runtime.opened) closeAuthenticators(set);
  });
  return runtime;
}

/** Authenticators as the configuration file writes them, defaults filled in. */
export function parseAuthenticators(written: Readonly<Record<string, unknown>>): Record<string, AuthenticatorConfig> {
  return Object.fromEntries(Object.entries(written).map(([name, value]) => [name, authenticatorSchema.parse(value)]));
}

export interface TestFiles {
  readonly ca?: string;
  readonly crl?: string;
  readonly others?: Readonly<Record<string, string>>;
}

/** The authenticators of a snapshot that is in force; `ca` makes the listener ask for client certificates. */
export function createSet(
  written: Readonly<Record<string, unknown>>,
  runtime: TestRuntime,
  files: TestFiles = {},
  previous?: AuthenticatorSet,
): AuthenticatorSet {
  const content = { ...files.others, 'clients-ca.crt': files.ca, 'clients.crl': files.crl };
  const tls = {
    certFile: 'tls.crt',
    keyFile: 'tls.key',
    clientCertificates: files.ca === undefined ? 'off' : 'optional',
    clientCaFile: 'clients-ca.crt',
    clientCrlFile: files.crl === undefined ? undefined : 'clients.crl',
  };
  const config = { authenticators: parseAuthenticators(written), server: { tls } } as unknown as Config;
  const present = Object.entries(content).flatMap(([name, text]) =>
    text === undefined ? [] : [[name, Buffer.from(text)] as const],
  );
  const set = createAuthenticators(
    { config, files: createNamedFiles(new Map(present)), egress: egressOf(undefined, {}) },
    runtime,
    previous,
  );
  runtime.opened.push(set);
  startAuthenticators(set);
  return set;
}

/** The credentials of a request, as a client sends them. */
export interface Presented {
  readonly token?: string | undefined;
  /** Default Bearer. */
  readonly scheme?: 'Bearer' | 'DPoP';
  readonly proof?: string;
  readonly key?: string | undefined;
  /** Default x-api-key. */
  readonly keyHeader?: string | undefined;
  readonly certificate?: PeerCertificate | undefined;
}

/** A request that presents these credentials while nothing is revoked. */
export function requestWith(
  { token, scheme = 'Bearer', proof, key, keyHeader = 'x-api-key', certificate }: Presented,
  runtime: TestRuntime,
  seen: CredentialRecord[] = [],
): AuthenticationRequest {
  return {
    rawHeaders: [
      ...(token === undefined ? [] : ['Authorization', `${scheme} ${token}`]),
      ...(proof === undefined ? [] : ['DPoP', proof]),
      ...(key === undefined ? [] : [keyHeader, key]),
    ],
    query: '',
    peer: certificate,
    now: runtime.clock,
    clientAddress: '192.0.2.1',
    resource,
    method: 'POST',
    url: resource,
    seen,
    revocations: () => nothingRevoked,
  };
}

/** A certificate as the TLS layer hands it over when it found nothing wrong. */
export function peerOf(pem: string, chain: readonly string[] = [], authorizationError?: string): PeerCertificate {
  return {
    certificate: new X509Certificate(pem),
    chain: chain.map((each) => new X509Certificate(each)),
    authorizationError,
  };
}
