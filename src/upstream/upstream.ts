// Upstream of a snapshot: its address, TLS context, limits and pool of kept-alive connections.
import type { UpstreamConfig } from '../config/schema/config.ts';
import type { NamedFiles } from '../named-files.ts';
import { type Concurrency, closeConcurrency, createConcurrency } from './concurrency.ts';
import { type Connections, createConnections } from './connection-pool.ts';
import { basePathOf } from './path-mapping.ts';
import { buildUpstreamContext } from './tls-context.ts';

/** An upstream with its connections and limits. */
export interface Upstream {
  readonly name: string;
  /** Scheme, host and port. */
  readonly origin: string;
  /** Prefix of every forwarded path; empty, or `/…` without a trailing slash. */
  readonly basePath: string;
  readonly timeouts: UpstreamConfig['timeouts'];
  readonly onClientDisconnect: UpstreamConfig['onClientDisconnect'];
  readonly limits: UpstreamConfig['limits'];
  /** The open requests, against `limits`. */
  readonly concurrency: Concurrency;
  readonly connections: Connections;
  /** Closes each connection after its request. Later requests still pass, on new connections. */
  close(): Promise<void>;
}

/** Equal to the default limit of request heads. */
const maxResponseHeaderBytes = 32_768;
/** Shorter than the 5 s after which uvicorn and Node close an idle connection; a `Keep-Alive` hint of the upstream counts instead. */
const keepAliveMs = 4000;
const maxKeepAliveMs = 60_000;

/**
 * Prepares an upstream; nothing is connected yet. `files` is the content of every file the configuration names.
 * `now` gives milliseconds since 1970. HTTPS is always verified, against `caFile` or else the public roots, whatever the process environment says; HTTP/1.1 only.
 * Throws an Error that names the key when a file cannot be used.
 */
export function createUpstream(
  name: string,
  config: UpstreamConfig,
  files: NamedFiles,
  now: () => number,
  concurrency = createConcurrency(),
): Upstream {
  const url = new URL(config.url);
  const secureContext = url.protocol === 'https:' ? buildUpstreamContext(name, config.tls, files) : undefined;
  const serverName = config.tls?.serverName;
  const connections = createConnections(
    url.origin,
    {
      allowH2: false,
      pipelining: 1,
      maxHeaderSize: maxResponseHeaderBytes,
      maxResponseSize: -1,
      headersTimeout: config.timeouts.firstByte,
      bodyTimeout: config.timeouts.idle,
      keepAliveTimeout: keepAliveMs,
      keepAliveMaxTimeout: maxKeepAliveMs,
    },
    {
      timeout: config.timeouts.connect,
      ...(secureContext !== undefined && { secureContext, rejectUnauthorized: true }),
      ...(serverName !== undefined && { servername: serverName }),
    },
    { maxMs: config.connectionMaxAge, now },
  );
  return {
    name,
    origin: url.origin,
    basePath: basePathOf(url),
    timeouts: config.timeouts,
    onClientDisconnect: config.onClientDisconnect,
    limits: config.limits,
    concurrency,
    connections,
    async close() {
      await connections.close();
      closeConcurrency(concurrency);
    },
  };
}

/** The same upstream under options that do not concern its connections: these go on, and so does the count of open requests. */
export function adjustUpstream(upstream: Upstream, config: UpstreamConfig): Upstream {
  return { ...upstream, onClientDisconnect: config.onClientDisconnect, limits: config.limits };
}
