// Binding of a listener to its address. Errors name the key of the configuration.
import { chmod, lstat, unlink } from 'node:fs/promises';
import { type AddressInfo, connect } from 'node:net';
import { type ListenAddress, parseListenAddress } from '../http/connection/listen-address.ts';

/** The part of a Fastify application that listens. */
export interface Listener {
  listen(options: { host: string; port: number } | { path: string }): Promise<unknown>;
  readonly server: { address(): AddressInfo | string | null };
  readonly log: { level: string };
}

/** Mode of the socket file: owner and group may connect. */
const socketMode = 0o660;

/**
 * Listens on `host:port` or `unix:path`, and gives the bound address. Replaces the socket file of a process that has ended. Throws an Error of one
 * line that begins with the key.
 */
export async function listenOn(app: Listener, text: string, key: string): Promise<AddressInfo> {
  const address = parseListenAddress(text);
  const { level } = app.log;
  // Fastify says on `info` that it listens, which is before the start is complete.
  app.log.level = 'silent';
  try {
    if (address.kind === 'unix') await listenOnSocket(app, address.path);
    else await app.listen({ host: address.host, port: address.port });
  } catch (error) {
    throw new Error(`${key}: ${text} ${reasonOf(error as NodeJS.ErrnoException, address)}`, { cause: error });
  } finally {
    app.log.level = level;
  }
  const bound = app.server.address();
  return typeof bound === 'string' || bound === null ? { address: text, family: 'unix', port: 0 } : bound;
}

async function listenOnSocket(app: Listener, path: string): Promise<void> {
  await removeStaleSocket(path);
  await app.listen({ path });
  await chmod(path, socketMode);
}

async function removeStaleSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) throw new Error('is a file of another kind');
  if (await isStale(path)) await unlink(path);
}

/** True when no process listens on the socket. */
function isStale(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'ECONNREFUSED'));
  });
}

const reasons: Readonly<Record<string, string>> = {
  EADDRINUSE: 'is already in use',
  EADDRNOTAVAIL: 'is not an address of this machine',
  ENOTFOUND: 'cannot be resolved to an address',
  EAI_AGAIN: 'cannot be resolved to an address',
};

function reasonOf({ code = '', message }: NodeJS.ErrnoException, address: ListenAddress): string {
  if (code === 'EACCES') {
    return address.kind === 'unix'
      ? 'cannot be created: its directory is missing, or may not be written to'
      : 'may not be used by this account: ports below 1024 need a right of their own (CAP_NET_BIND_SERVICE)';
  }
  return reasons[code] ?? (code === '' ? message : `cannot be listened on: ${message}`);
}
