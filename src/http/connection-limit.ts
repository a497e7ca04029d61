// Connections of one address, bounded in number before anything is read from them, and in the time of their TLS handshake.
import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/** Options of `limitConnections`. */
export interface ConnectionLimit {
  /** The address that a connection counts for; undefined for one that is not counted. */
  readonly addressOf: (socket: Socket) => string | undefined;
  /** Connections that an address may have. */
  readonly limit: () => number;
  /** Called for a connection above the limit, which is closed. */
  readonly refused: (address: string) => void;
}

/** Closes connections above the limit before the listeners that the server has now get them. */
export function limitConnections(server: Server, { addressOf, limit, refused }: ConnectionLimit): void {
  const counts = new Map<string, number>();
  const listeners = server.listeners('connection');
  server.removeAllListeners('connection').on('connection', (socket: Socket) => {
    const address = addressOf(socket);
    if (address !== undefined) {
      const count = counts.get(address) ?? 0;
      if (count >= limit()) {
        socket.destroy();
        return refused(address);
      }
      counts.set(address, count + 1);
      socket.on('close', () => {
        const left = counts.get(address)! - 1;
        if (left === 0) counts.delete(address);
        else counts.set(address, left);
      });
    }
    for (const listener of listeners) listener.call(server, socket);
  });
}

/** A socket of TLS, and the TCP socket below it. */
type SecureSocket = Socket & { readonly _parent?: Socket };

/** Ends TLS handshakes that take longer, also those that have not begun. */
export function limitHandshakes(server: Server, timeoutMs: () => number): void {
  const timers = new WeakMap<Socket, NodeJS.Timeout>();
  server.on('connection', (socket: Socket) => {
    const timer = setTimeout(() => socket.destroy(), timeoutMs()).unref();
    timers.set(socket, timer);
    socket.on('close', () => clearTimeout(timer));
  });
  server.on('secureConnection', ({ _parent: socket }: SecureSocket) => clearTimeout(timers.get(socket!)));
}
