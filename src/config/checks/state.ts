// Checks of `state`: addresses that fit together, no traffic in clear, and keys that every replica has.
import { isLoopbackAddress } from '../../http/host.ts';
import { buildRedisContext } from '../../state/redis/client.ts';
import { parseRedisUrl, type RedisAddress, type RedisConfig } from '../../state/schema.ts';
import type { Path } from '../schema/reporter.ts';
import { checkSecureContext, warnOfAuthorities, warnOfChain } from './certificates.ts';
import type { CheckContext } from './context.ts';

const base: Path = ['state', 'redis'];

/** Checks the section. */
export function checkState(context: CheckContext): void {
  const { state } = context.draft;
  if (state === undefined) return;
  checkAddresses(context, state.redis);
  checkTls(context, state.redis);
  checkKeysOfReplicas(context);
}

function checkAddresses(context: CheckContext, { cluster, insecure, password, sentinel, url, username }: RedisConfig) {
  const at: Path = [...base, 'url'];
  const addresses = [url].flat().flatMap((each) => parseRedisUrl(each) ?? []);
  const [first] = addresses;
  if (first === undefined) return;
  if (cluster && sentinel !== undefined) context.error([...base, 'sentinel'], 'must not stand beside cluster: true');
  if (addresses.length > 1 && !cluster && sentinel === undefined) {
    context.error(at, 'several addresses are those of a cluster or of sentinels; add cluster: true or sentinel');
  }
  if (cluster && addresses.some(({ database }) => database !== 0)) context.error(at, 'a cluster has database 0 only');
  if (!insecure && addresses.some(isPlain)) {
    context.error(at, 'redis:// without TLS is accepted on loopback only; use rediss://, or insecure: true');
  }
  const shared = ({ tls, database, username, password }: RedisAddress) =>
    JSON.stringify([tls, database, username, password]);
  if (addresses.some((each) => shared(each) !== shared(first))) {
    context.error(at, 'all addresses need the same scheme, user, password and database');
  }
  if (username !== undefined && first.username !== undefined)
    context.error([...base, 'username'], 'stands in url already');
  if (password !== undefined && first.password !== undefined)
    context.error([...base, 'password'], 'stands in url already');
  if ((username ?? first.username) !== undefined && (password ?? first.password) === undefined) {
    context.error(base, 'a user needs a password');
  }
  if (sentinel?.username !== undefined && sentinel.password === undefined) {
    context.error([...base, 'sentinel'], 'a user needs a password');
  }
}

function isPlain({ tls, host }: RedisAddress): boolean {
  return !tls && !isLoopbackAddress(host);
}

function checkTls(context: CheckContext, redis: RedisConfig): void {
  const { caFile, certFile, keyFile, url } = redis;
  if ((certFile === undefined) !== (keyFile === undefined)) context.error(base, 'certFile and keyFile belong together');
  if (caFile === undefined && certFile === undefined && keyFile === undefined) return;
  if ([url].flat().some((each) => parseRedisUrl(each)?.tls === false))
    context.error(base, 'caFile, certFile and keyFile need rediss://');
  if (!checkSecureContext(context, base, () => buildRedisContext(redis, context.files))) return;
  warnOfChain(context, [...base, 'certFile'], certFile);
  warnOfAuthorities(context, [...base, 'caFile'], caFile);
}

/** A session and an assertion are good at every replica only where all have the key. */
function checkKeysOfReplicas(context: CheckContext): void {
  context.draft.routes?.forEach(({ mcp }, index) => {
    if (mcp === undefined || mcp.sessionKeyFiles.length > 0) return;
    const at = ['routes', index, 'mcp'];
    context.warn(
      at,
      'replicas share state, but each has a session key of its own: a session is unknown at the others; set sessionKeyFiles',
    );
  });
  for (const [name, { identity }] of Object.entries(context.draft.upstreams ?? {})) {
    const { assertion } = identity;
    if (assertion === undefined || assertion.keyFiles.length > 0) continue;
    const at = ['upstreams', name, 'identity', 'assertion'];
    context.warn(
      at,
      'replicas share state, but each signs with a key of its own: the key set of one lacks those of the others; set keyFiles',
    );
  }
}
