// A bound socket that this process holds and never accepts from, as a service manager does: to be inherited.
import net from 'node:net';

interface SocketHandle {
  readonly fd: number;
  getsockname?(out: { address?: string; port?: number }): number;
  close(): void;
}

/** A socket for `spawn`'s `stdio`, or for `listenOn`. */
export interface HeldSocket {
  readonly fd: number;
  /** 0 for a unix socket. */
  readonly port: number;
  close(): void;
}

const { _createServerHandle: createHandle } = net as unknown as {
  readonly _createServerHandle: (address: string, port: number, addressType: number) => SocketHandle | number;
};

/** Binds to a port of the address, a free one by default, or to the path of a unix socket. */
export function holdSocket(address: string, port = 0): HeldSocket {
  const handle = address.startsWith('/')
    ? createHandle(address, -1, -1)
    : createHandle(address, port, net.isIP(address));
  if (typeof handle === 'number') throw new Error(`cannot bind to ${address}: ${handle}`);
  const name: { port?: number } = {};
  handle.getsockname?.(name);
  return { fd: handle.fd, port: name.port ?? 0, close: () => handle.close() };
}
