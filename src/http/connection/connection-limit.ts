// Connections of one address, bounded in number before anything is read from them, and in the time of their TLS handshake.
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { callerNetwork, plainAddress, unixPeer } from '../../ip-ranges.ts';
import { createKeyedCounts } from '../../keyed-counts.ts';

/** Options of `limitConnections`. */
export interface ConnectionLimit {
  readonly peerAddress: (socket: Socket) => string;
  /** True for peers whose connections are not counted. Those of a unix socket, which have no address, never are. */
  readonly isExempt: (peer: string) => boolean;
  /** Connections that an address may have, or the /64 of an IPv6 address. */
  readonly limit: () => number;
  /** Called for a connection above the limit, which is closed. */
  readonly refused: (address: string) => void;
}

/** Closes connections above the limit before the listeners that the server has now get them. */
export function limitConnections(server: Server, { isExempt, limit, peerAddress, refused }: ConnectionLimit): void {
  const counts = createKeyedCounts(() => ({ open: 0 }));
  const listeners = server.listeners('connection');
  server.removeAllListeners('connection').on('connection', (socket: Socket) => {
    const peer = plainAddress(peerAddress(socket));
    if (peer !== unixPeer && !isExempt(peer)) {
      const address = callerNetwork(peer);
      const count = counts.of(address);
      if (count.open >= limit()) {
        socket.destroy();
        return refused(address);
      }
      count.open += 1;
      socket.on('close', () => {
        count.open -= 1;
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
