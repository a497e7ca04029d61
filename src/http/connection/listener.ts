// HTTP and TLS listener of an application: its secure context, its limits, and their change by a reload.
import { constants } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, RequestListener, Server, ServerOptions } from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { SecureContext, SecureVersion } from 'node:tls';
import { unixPeer } from '../../ip-ranges.ts';
import type { NamedFiles } from '../../named-files.ts';
import { createServer as createHttpServer } from '../node-http.ts';
import { cipherList } from './ciphers.ts';
import { parseListenAddress } from './listen-address.ts';
import { type BuiltContext, buildSecureContext, parseCertificateChain } from './secure-context.ts';
import { compileServerNames, type NamedContext } from './server-name.ts';

const headersTimeoutMs = 10_000;
const keepAliveTimeoutMs = 75_000;
/** The `tls` section as the listener uses it. */
export interface ListenerTls {
  /** Its place in the configuration, for messages; default `server.tls`. */
  readonly section?: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly clientCertificates: 'off' | 'optional' | 'required';
  readonly clientCaFile?: string | undefined;
  readonly clientCrlFile?: string | undefined;
  /** Further certificates, for the server names that they have. */
  readonly certificates: readonly { readonly certFile: string; readonly keyFile: string }[];
  /** `modern` or an OpenSSL list. */
  readonly ciphers: string;
  readonly minVersion: SecureVersion;
}

interface ServerWithNames extends Server {
  /** The context for a server name; undefined for the one of the server. */
  [contextOf]?: (name: string) => SecureContext | undefined;
}

const contextOf = Symbol('context of a server name');

/** The part of the configuration that concerns the listener. Without `tls` it speaks plain HTTP. */
export interface ListenerConfig {
  readonly tls?: ListenerTls | undefined;
  /** Times in milliseconds. */
  readonly limits: { readonly headerBytes: number; readonly connections: number; readonly receiveTimeout: number };
}

/** Descriptors kept back for files, the admin listener and upstream connections beyond one a client. */
const reservedDescriptors = 64;

/**
 * Creates the server, not yet listening. Throws when certificate, key, CA or CRL cannot be used. `acceptsUpgrade` says of a request that
 * offers another protocol whether it becomes an `upgrade` event; otherwise the offer is ignored. Bodies are bounded in time by who reads them.
 */
export function createListener(
  config: ListenerConfig,
  files: NamedFiles,
  handler: RequestListener,
  acceptsUpgrade: (request: IncomingMessage) => boolean,
): Server {
  const options: ServerOptions = {
    shouldUpgradeCallback: acceptsUpgrade,
    maxHeaderSize: config.limits.headerBytes,
    headersTimeout: Math.min(headersTimeoutMs, config.limits.receiveTimeout),
    requestTimeout: 0,
    connectionsCheckingInterval: 1000,
    keepAliveTimeout: keepAliveTimeoutMs,
    requireHostHeader: false,
    insecureHTTPParser: false,
  };
  const server: ServerWithNames =
    config.tls === undefined
      ? createHttpServer(options, handler)
      : (createHttpsServer(
          {
            ...options,
            ...buildListenerContext(config.tls, files).options,
            ALPNProtocols: ['http/1.1'],
            SNICallback: (name, done) => done(null, server[contextOf]?.(name)),
            ...clientCertificatePolicy(config.tls),
          },
          handler,
        ) as Server);
  // Read while it is known: Node keeps it, and `peerAddress` has it after a failed handshake.
  server.on('connection', (socket: Socket) => void socket.remoteAddress);
  server.maxHeadersCount = 0;
  server.timeout = 0;
  applyLimits(server, config);
  return server;
}

/**
 * Prepares the change of a server to a configuration; throws a SecureContextError where TLS cannot use it. The returned function applies it: new
 * handshakes and connections use it, and session tickets of other keys than `ticketKeys` are void; the default is fresh keys.
 */
export function prepareListener(
  config: ListenerConfig,
  files: NamedFiles,
  ticketKeys?: Buffer,
): (server: Server) => void {
  const built = config.tls && buildListenerContext(config.tls, files);
  const named = config.tls && compileServerNames(namedContexts(config.tls, files));
  return (server: ServerWithNames) => {
    if (config.tls !== undefined) {
      const https = server as HttpsServer;
      // Node builds it once more, from options that a context was just built from.
      https.setSecureContext(built!.options);
      if (ticketKeys !== undefined) https.setTicketKeys(ticketKeys);
      // Read by Node at each handshake; a test holds it to that.
      Object.assign(https, clientCertificatePolicy(config.tls));
      server[contextOf] = named!;
    }
    applyLimits(server, config);
  };
}

/** Reader of the remote address of connections to `listen`; `unix:` on a unix socket. */
export function createPeerAddressReader(listen: string): (socket: Socket) => string {
  return parseListenAddress(listen).kind === 'unix' ? () => unixPeer : peerAddress;
}

/** The remote address. Node removes it from a connection that it ends in the handshake, but not from the TCP socket below. */
function peerAddress(socket: Socket): string {
  const { _parent: below } = socket as Socket & { readonly _parent?: Socket };
  return socket.remoteAddress ?? below?.remoteAddress ?? '';
}

/**
 * The context of a listener, or that of a further certificate with its place in `certificates`. Throws a SecureContextError that names
 * key and file; `check` builds the same one.
 */
export function buildListenerContext(tls: ListenerTls, files: NamedFiles, further?: number): BuiltContext {
  const { section = 'server.tls' } = tls;
  const withClients = tls.clientCertificates !== 'off';
  const { certFile, keyFile } = further === undefined ? tls : tls.certificates[further]!;
  const { context, options } = buildSecureContext(
    further === undefined ? section : `${section}.certificates[${further}]`,
    {
      cert: { key: 'certFile', path: certFile },
      key: { key: 'keyFile', path: keyFile },
      // Whatever the server name is, the same authorities count for the certificate of the client.
      ...(withClients && { ca: { key: 'clientCaFile', path: tls.clientCaFile } }),
      ...(withClients && tls.clientCrlFile !== undefined && { crl: { key: 'clientCrlFile', path: tls.clientCrlFile } }),
    },
    files,
    {
      ciphers: cipherList(tls.ciphers),
      minVersion: tls.minVersion,
      // The client's certificate is read once, so it must not change on the same connection.
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    },
  );
  // Never left undefined: Node would fall back to the public roots.
  return { context, options: { ...options, ca: options.ca ?? [] } };
}

/** The certificates of the listener in their order; the first is shown to whoever names no other. */
function namedContexts(tls: ListenerTls, files: NamedFiles): NamedContext[] {
  const certificateIn = (certFile: string) => files.parse(certFile, parseCertificateChain)[0]!;
  const further = tls.certificates.map(({ certFile }, index) => ({
    certificate: certificateIn(certFile),
    context: buildListenerContext(tls, files, index).context,
  }));
  return [{ certificate: certificateIn(tls.certFile) }, ...further];
}

function clientCertificatePolicy(tls: ListenerTls): { requestCert: boolean; rejectUnauthorized: boolean } {
  return { requestCert: tls.clientCertificates !== 'off', rejectUnauthorized: tls.clientCertificates === 'required' };
}

function applyLimits(server: Server, config: ListenerConfig): void {
  // Read by Node for each new connection, though its types do not name it.
  Object.assign(server, { maxHeaderSize: config.limits.headerBytes });
  server.headersTimeout = Math.min(headersTimeoutMs, config.limits.receiveTimeout);
  server.maxConnections = Math.min(config.limits.connections, connectionCeiling());
}

/** Connections that the process has file descriptors for: a request may need one on both sides. */
export function connectionCeiling(): number {
  const limit = descriptorLimit();
  return Math.max(16, Math.floor((limit - reservedDescriptors) / 2));
}

function descriptorLimit(): number {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return soft === undefined ? 4096 : Number(soft);
  } catch {
    return 4096;
  }
}
