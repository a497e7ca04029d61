// Online check of authorization servers: issuers with their keys (RFC 8414, RFC 7517), and introspection endpoints (RFC 7662).
import type { AuthenticatorConfig } from '../../authn/authenticator-types.ts';
import { createAccessToken } from '../../authn/token/compact-jws.ts';
import { parseKeySet } from '../../authn/token/jwk.ts';
import { createKeySource, IssuerMismatch } from '../../authn/token/jwks-source.ts';
import { authoritiesOf } from '../../oauth/authorities.ts';
import { RequestFailure } from '../../oauth/http-client.ts';
import type { PolicyFile } from '../policy-file.ts';
import { type CheckResult, failed, ok } from './finding.ts';

/** Asks the server of an authenticator. */
export function checkAuthorizationServer(
  name: string,
  config: Extract<AuthenticatorConfig, { type: 'jwt' | 'introspection' }>,
  file: PolicyFile,
  now: number,
): Promise<CheckResult> {
  return config.type === 'jwt' ? checkIssuer(config, file) : checkIntrospection(name, config.endpoint, file, now);
}

type JwtConfig = Extract<AuthenticatorConfig, { type: 'jwt' }>;

/** With `jwksUri` the gateway needs no metadata; if there are some, they must be the issuer's. */
async function checkIssuer(config: JwtConfig, file: PolicyFile): Promise<CheckResult> {
  const { issuer, jwksUri, algorithms } = config;
  const discovered = fetchKeys(config, undefined, file);
  const [metadata, given] = await Promise.allSettled([
    discovered,
    jwksUri === undefined ? discovered : fetchKeys(config, jwksUri, file),
  ]);
  if (metadata.status === 'rejected') {
    const mismatch = mismatchIn(metadata.reason);
    if (mismatch !== undefined) return failed(adviceOn(mismatch, issuer));
  }
  if (given.status === 'rejected') {
    return failed(`the keys of ${issuer} cannot be fetched: ${(given.reason as Error).message}`);
  }
  const { keys, refused } = parseKeySet(given.value);
  const usable = keys.filter((key) => algorithms.some((algorithm) => key.algorithms.has(algorithm)));
  const count = keys.length + [...refused.values()].reduce((sum, each) => sum + each, 0);
  const found = count === 1 ? '1 key' : `${count} keys`;
  if (usable.length === 0) return failed(`${issuer} has ${found}, and none is usable with ${algorithms.join(', ')}`);
  return ok(`${issuer} has ${found}, ${usable.length} usable with ${algorithms.join(', ')}`);
}

async function fetchKeys(config: JwtConfig, jwksUri: string | undefined, { loaded }: PolicyFile): Promise<unknown> {
  const { issuer, insecure } = config;
  const ignore = (): void => {};
  const source = createKeySource({
    ...{ issuer, jwksUri, insecure, egress: loaded.egress, authorities: authoritiesOf(config, loaded) },
    ...{ metadataWanted: false, observe: { metadataFound: ignore, metadataFailed: ignore } },
  });
  try {
    return await source.fetch(true);
  } finally {
    source.close();
  }
}

function mismatchIn(error: unknown): IssuerMismatch | undefined {
  const errors: unknown[] = error instanceof AggregateError ? error.errors : [error];
  return errors.find((each) => each instanceof IssuerMismatch);
}

function adviceOn({ found }: IssuerMismatch, issuer: string): string {
  const isSlash = found.replace(/\/$/, '') === issuer.replace(/\/$/, '');
  const difference = isSlash ? 'only the slash at the end differs' : 'its tokens are refused';
  return `${issuer} calls itself ${JSON.stringify(found)}: ${difference}; write issuer as the issuer does`;
}

/** A token that nobody has issued is inactive for whoever accepts the client. */
async function checkIntrospection(name: string, endpoint: string, file: PolicyFile, now: number): Promise<CheckResult> {
  const authenticator = file.snapshot.authenticators.byName.get(name);
  if (authenticator?.accepts !== 'access-token') return failed('has no endpoint');
  const token = createAccessToken('portcullis-check-online');
  try {
    await authenticator.verify(token, { now, clientAddress: '127.0.0.1', resource: '' });
    return ok(`${endpoint} answers and accepts the client`);
  } catch (error) {
    const cause = (error as Error).cause;
    const status = cause instanceof RequestFailure ? cause.status : undefined;
    if (status === 401 || status === 403 || status === 400) {
      return failed(`${endpoint} refuses the client (status ${status}); look at clientId and its secret or key`);
    }
    return failed(`${endpoint} gives no usable answer: ${((cause ?? error) as Error).message}`);
  }
}
