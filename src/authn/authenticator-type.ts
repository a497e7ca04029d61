// Contract of an authenticator type: its configuration, the checks of it, and the authenticator that it makes.
import type { z } from 'zod';
import type { Path, SectionReporter } from '../config/schema/reporter.ts';
import type { Log } from '../log.ts';
import type { NamedFiles } from '../named-files.ts';
import type { Egress } from '../oauth/egress.ts';
import type { IntrospectionEndpoint, IntrospectionOutcome } from '../oauth/introspection-client.ts';
import type { Authenticator } from './authenticator.ts';
import type { TrustStore } from './certificate/trust-store.ts';
import type { ProofMemory } from './token/binding/dpop.ts';
import type { KeySet, Schedule } from './token/jwks.ts';

/** One row of `authenticatorTypes`. */
export interface AuthenticatorType<C> {
  readonly schema: z.ZodType<C>;
  /** Checks the configuration at `path` of the file beyond its schema. */
  check(config: C, path: Path, reporter: SectionReporter): void;
  /** Throws an Error when something that it is made of, such as a file or a key, cannot be used. */
  create(name: string, config: C, context: AuthenticatorContext): Authenticator;
}

/** Process-wide state of authentication; outlives every snapshot. */
export interface AuthenticatorRuntime {
  readonly proofMemory: ProofMemory;
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly observe: AuthenticationObserver;
  /** Timer of the fetches of key sets; the system's by default. */
  readonly schedule?: Schedule | undefined;
}

/** The metrics of authentication. */
export interface AuthenticationObserver {
  /**
   * `authenticator` is `none` for a credential of no authenticator, `reason` is `none` for a verified one; `seconds` is undefined for a token whose
   * verification was cached.
   */
  authenticationAttempted(
    authenticator: string,
    result: 'verified' | 'refused' | 'unavailable',
    reason: string,
    seconds: number | undefined,
  ): void;
  keySetRefreshFailed(issuer: string): void;
  /** One question to an introspection endpoint, or one that was not asked because it had failed or was busy. */
  introspected(authenticator: string, outcome: IntrospectionOutcome): void;
}

/** The dependencies of the authenticators of one snapshot. */
export interface AuthenticatorContext extends AuthenticatorRuntime {
  /** The issuer whose metadata the gateway repeats: its key set fetches them too. */
  readonly mirroredIssuer: string | undefined;
  /** The key set with this key: the previous snapshot's, or else a new one. */
  keySet(key: string, open: () => KeySet): KeySet;
  /** The introspection endpoint with this key: the previous snapshot's, or else a new one. */
  endpoint(key: string, open: () => IntrospectionEndpoint): IntrospectionEndpoint;
  /** The authorities of client certificates, or those of `caFile` among them; undefined where the listener asks for no certificates. */
  trustStore(caFile: string | undefined): TrustStore | undefined;
  readonly files: NamedFiles;
  /** The proxies to authorization servers. */
  readonly egress: Egress;
}
