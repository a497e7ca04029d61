// Binding of a listener to its address, or to the inherited socket that has it. Errors name the key of the configuration.
import { lookup } from 'node:dns/promises';
import { readFileSync, readlinkSync } from 'node:fs';
import { chmod, lstat, unlink } from 'node:fs/promises';
import { type AddressInfo, connect } from 'node:net';
import { type ListenAddress, parseListenAddress } from '../../http/connection/listen-address.ts';
import { addressBits } from '../../ip-ranges.ts';

/** The part of a Fastify application that listens. */
export interface Listener {
  listen(options: { host: string; port: number; fd?: number } | { path: string }): Promise<unknown>;
  readonly server: { address(): AddressInfo | string | null; close(): unknown };
  readonly log: { level: string };
}

/** Mode of the socket file: owner and group may connect. */
const socketMode = 0o660;

/**
 * Listens on `host:port` or `unix:path`, and gives the bound address. Replaces the socket file of a process that has ended. `inherited` is the
 * descriptor of a socket that is bound to that address already. Throws an Error of one line that begins with the key.
 */
export async function listenOn(app: Listener, text: string, key: string, inherited?: number): Promise<AddressInfo> {
  const address = parseListenAddress(text);
  const { level } = app.log;
  // Fastify says on `info` that it listens, which is before the start is complete.
  app.log.level = 'silent';
  try {
    if (inherited !== undefined) await listenOnInherited(app, inherited, address);
    else if (address.kind === 'unix') await listenOnSocket(app, address.path);
    else await app.listen({ host: address.host, port: address.port });
  } catch (error) {
    throw new Error(`${key}: ${text} ${reasonOf(error as NodeJS.ErrnoException, address)}`, { cause: error });
  } finally {
    app.log.level = level;
  }
  const bound = app.server.address();
  return typeof bound === 'string' || bound === null ? { address: text, family: 'unix', port: 0 } : bound;
}

/** Nothing is accepted before the address is known to be the configured one: rules and the need of TLS depend on it. */
async function listenOnInherited(app: Listener, fd: number, address: ListenAddress): Promise<void> {
  const hosts = address.kind === 'unix' ? [] : (await lookup(address.host, { all: true })).map((each) => each.address);
  const path = socketPathOf(fd);
  // Node does not know the path of a descriptor, and Fastify needs an address.
  Object.assign(app.server, { _pipeName: path ?? 'unknown' });
  try {
    await app.listen({ fd, host: '127.0.0.1', port: 0 });
  } catch (error) {
    throw new Error(`is inherited as descriptor ${fd}, which is no listening stream socket`, { cause: error });
  }
  const bound = app.server.address();
  const isSame =
    address.kind === 'unix'
      ? path === address.path && typeof bound === 'string'
      : bound !== null && typeof bound === 'object' && isAddress(bound, hosts, address.port);
  if (isSame) return;
  app.server.close();
  throw new Error(
    `is not the address of the inherited socket, which is ${describe(bound)}; write the same here and in ListenStream= of its unit`,
  );
}

function isAddress(bound: AddressInfo, hosts: readonly string[], port: number): boolean {
  const bits = addressBits(bound.address);
  return (port === 0 || port === bound.port) && hosts.some((host) => addressBits(host) === bits);
}

/** The path of a unix socket; undefined for other descriptors, and where the system does not tell. */
function socketPathOf(fd: number): string | undefined {
  try {
    const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1];
    const line = new RegExp(`^(?:\\S+ +){6}${inode} (.+)$`, 'm').exec(readFileSync('/proc/self/net/unix', 'utf8'));
    return line?.[1];
  } catch {
    return undefined;
  }
}

function describe(bound: AddressInfo | string | null): string {
  if (bound === null || typeof bound === 'string') return `unix:${bound}`;
  return `${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`;
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
