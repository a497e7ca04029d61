// A syslog receiver over TCP or TLS with octet counting: it can be told not to read, to end or reset its connections, and to go away.
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createSecureServer, type TlsOptions } from 'node:tls';
import { parseMessage, takeFrames } from './parse.ts';

export interface SyslogReceiver {
  readonly port: () => number;
  /** The messages in the order of their arrival, those that came again too. */
  readonly messages: Buffer[];
  /** Connections since the beginning. */
  readonly connections: () => number;
  /** Connections whose end was read. */
  readonly finished: () => number;
  /** Resets the connections and listens no more. */
  kill(): Promise<void>;
  /** Listens again, on the same port. */
  start(): Promise<void>;
  /** Reads no more, or again. */
  pause(): void;
  resume(): void;
  /** Ends the connections in an orderly way. */
  end(): void;
}

export async function startReceiver(tls?: TlsOptions): Promise<SyslogReceiver> {
  const messages: Buffer[] = [];
  const sockets = new Set<Socket>();
  let server: Server;
  let port = 0;
  let connections = 0;
  let finished = 0;
  let isPaused = false;

  function accept(socket: Socket): void {
    connections += 1;
    sockets.add(socket);
    let rest: Buffer = Buffer.alloc(0);
    if (isPaused) socket.pause();
    socket.on('data', (piece: Buffer) => {
      const taken = takeFrames(Buffer.concat([rest, piece]));
      rest = taken.rest;
      messages.push(...taken.messages);
    });
    socket.on('end', () => {
      finished += 1;
    });
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
  }

  const receiver: SyslogReceiver = {
    port: () => port,
    messages,
    connections: () => connections,
    finished: () => finished,
    async kill() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) tls === undefined ? socket.resetAndDestroy() : socket.destroy();
      await closed;
    },
    async start() {
      server = tls === undefined ? createServer(accept) : createSecureServer(tls, accept);
      // A handshake that is broken off is none of ours.
      server.on('tlsClientError', () => {});
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
      ({ port } = server.address() as AddressInfo);
    },
    pause() {
      isPaused = true;
      for (const socket of sockets) socket.pause();
    },
    resume() {
      isPaused = false;
      for (const socket of sockets) socket.resume();
    },
    end() {
      for (const socket of sockets) socket.end();
    },
  };
  await receiver.start();
  return receiver;
}

/** The sequence numbers of the messages, in their order. */
export function seqsOf(messages: readonly Buffer[]): number[] {
  return messages.map((message) => Number(parseMessage(message).data['portcullis@32473']?.seq));
}
