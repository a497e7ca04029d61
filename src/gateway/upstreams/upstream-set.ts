// Upstreams of a snapshot, with connections and credentials that unchanged ones keep over a reload.
import { hash } from 'node:crypto';
import type { LoadedConfig } from '../../config/load.ts';
import type { LimitShares } from '../../limit-share.ts';
import { createConcurrency } from '../../upstream/concurrency.ts';
import type { EphemeralKeys } from '../../upstream/identity/assertion-key.ts';
import { adjustUpstream, createUpstream, type Upstream } from '../../upstream/upstream.ts';
import { compileUpstreamIdentity, type IdentityContext, type UpstreamIdentity } from './upstream-credential.ts';

/** An upstream with its connections and credentials. */
export interface PooledUpstream {
  /** Upstreams with equal keys can share connections over a reload. */
  readonly key: string;
  readonly target: Upstream;
  readonly identity: UpstreamIdentity | undefined;
}

/** Upstreams by name. */
export type PooledUpstreams = ReadonlyMap<string, PooledUpstream>;

/** Process-wide dependencies of upstreams. */
export interface UpstreamsRuntime extends Pick<IdentityContext, 'log' | 'now' | 'observe'> {
  /** The limits that other processes share; undefined where there are none. */
  readonly limitShares?: LimitShares | undefined;
}

/** Opens the upstreams. Unchanged ones are carried over from `previous`. Throws an Error for one that cannot be used. */
export function openUpstreams(
  loaded: LoadedConfig,
  runtime: UpstreamsRuntime,
  previous: PooledUpstreams | undefined,
  ephemeralKeys: EphemeralKeys,
): PooledUpstreams {
  const { log, now, observe } = runtime;
  const { config, egress, files } = loaded;
  const context = { config, egress, files, ephemeralKeys, log, now, observe };
  const opened = new Map<string, PooledUpstream>();
  for (const [name, upstream] of Object.entries(config.upstreams)) {
    const { connectionMaxAge, tls, timeouts, url } = upstream;
    const contents = [tls?.caFile, tls?.certFile, tls?.keyFile].map(
      (path) => path && files.get(path)?.toString('base64'),
    );
    const key = JSON.stringify([url, tls, timeouts, connectionMaxAge, contents]);
    const known = previous?.get(name);
    // Equal in all processes, and another one where the requests of before count no more.
    const concurrency = () => createConcurrency(`${name} ${hash('sha256', key)}`, runtime.limitShares);
    const target =
      known?.key === key
        ? adjustUpstream(known.target, upstream)
        : createUpstream(name, upstream, files, now, concurrency());
    const identity = compileUpstreamIdentity(name, { ...context, previous: known?.identity });
    opened.set(name, { key, target, identity });
  }
  return opened;
}

/** Closes the connections and exchanges that `next` does not share; connections after their requests. */
export async function closeUpstreams(previous: PooledUpstreams, next: PooledUpstreams = new Map()): Promise<void> {
  const exchanges = new Set([...next.values()].map(({ identity }) => identity?.exchange));
  for (const { identity } of previous.values()) {
    if (!exchanges.has(identity?.exchange)) identity?.exchange?.tokens.close();
  }
  const kept = new Set([...next.values()].map(({ target }) => target.connections));
  await Promise.all(
    [...previous.values()].filter(({ target }) => !kept.has(target.connections)).map(({ target }) => target.close()),
  );
}
