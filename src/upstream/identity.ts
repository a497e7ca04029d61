// How an upstream is told who calls by something it can verify, from an explicit choice of the configuration.
import type { UpstreamConfig } from '../config/schema.ts';
import { type AuthorizeCaller, compileAssertion } from './assertion.ts';
import { type AssertionKey, type EphemeralKeys, parseAssertionKey } from './assertion-key.ts';

export interface UpstreamIdentity {
  readonly authorize: AuthorizeCaller;
  /** What it signs with, and what it may have signed with: all of them are published. */
  readonly keys: readonly AssertionKey[];
}

export interface IdentityContext {
  /** Of everything the gateway signs. */
  readonly issuer: string;
  readonly files: ReadonlyMap<string, Buffer>;
  readonly ephemeralKeys: EphemeralKeys;
}

/** Undefined when the upstream asks for nothing of the kind. Throws an Error that names the key when a file cannot be used. */
export function compileUpstreamIdentity(
  name: string,
  { identity: { assertion } }: UpstreamConfig,
  context: IdentityContext,
): UpstreamIdentity | undefined {
  if (assertion === undefined) return undefined;
  const [first, ...others] = assertion.keyFiles.map((path, index) => {
    const key = `upstreams.${name}.identity.assertion.keyFiles[${index}]`;
    return readKey(key, context.files.get(path), assertion.algorithm);
  });
  const keys = [first ?? context.ephemeralKeys(assertion.algorithm), ...others] as const;
  return { authorize: compileAssertion(assertion, context.issuer, keys), keys };
}

function readKey(at: string, pem: Buffer | undefined, algorithm: AssertionKey['algorithm']): AssertionKey {
  try {
    return parseAssertionKey(pem ?? Buffer.alloc(0), algorithm);
  } catch (error) {
    throw new Error(`${at}: ${(error as Error).message}`, { cause: error });
  }
}
