// Connection pool of one upstream: each connection carries one request at a time, and the last used is taken first.
import type { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { buildConnector, Client } from 'undici';

/** One kept-alive connection, and its successor when the upstream closes it. */
export interface Connection {
  readonly client: Pick<Client, 'dispatch' | 'close' | 'destroy'>;
  readonly openedMs: number;
  /** Connected last. */
  socket: Socket | undefined;
  /** Set by `take`, reset by `give`. */
  taken: boolean;
}

/** True once every write of the connection has been called back: then no native code reads what was written. False for one that was cut. */
export function isWritten({ socket }: Connection): boolean {
  return socket !== undefined && !socket.destroyed && socket.writableLength === 0;
}

/** The age from which a connection takes no further request. */
export interface ConnectionAge {
  readonly maxMs: number;
  readonly now: () => number;
}

/** The connections of one upstream. */
export interface Connections {
  /** Takes an idle connection, or a new one. It is given back when its request has ended or failed. */
  take(): Connection;
  give(connection: Connection): void;
  /** Closes idle connections now and the others when they are given back, then resolves. `take` still works. */
  close(): Promise<void>;
}

/** Idle connections above this number are closed, so that a peak does not stay in memory. */
const maxIdle = 256;
/** Turns of the event loop in which the end of a write is told, though the answer to what was written may be read before. */
const drainTurns = 2;
const ignore = (): void => {};

/**
 * Creates an empty pool. Unlike undici's Pool it does not search all connections for a free one, which with thousands of open streams costs more
 * than forwarding, and it closes surplus connections.
 */
export function createConnections(
  origin: string,
  options: Omit<Client.Options, 'connect'>,
  connect: buildConnector.BuildOptions,
  age: ConnectionAge,
): Connections {
  const connector = buildConnector(connect);
  const idle: Connection[] = [];
  let taken = 0;
  let closed: PromiseWithResolvers<void> | undefined;

  const open = (): Connection => {
    const client = new Client(origin, {
      ...options,
      connect(target, callback) {
        connector(target, (...result) => {
          connection.socket = result[1] ?? undefined;
          callback(...result);
        });
      },
    });
    // A failure is reported to its request. Without a listener it would also end the process.
    (client as EventEmitter).on('error', ignore);
    const connection: Connection = { client, openedMs: age.now(), socket: undefined, taken: false };
    return connection;
  };
  /** An old one is closed: the name of the upstream may have another address by now. */
  const takeIdle = (): Connection | undefined => {
    const oldestMs = age.now() - age.maxMs;
    for (let connection = idle.pop(); connection !== undefined; connection = idle.pop()) {
      if (connection.openedMs > oldestMs) return connection;
      connection.client.close(ignore);
    }
    return undefined;
  };

  const release = (connection: Connection): void => {
    taken -= 1;
    // The upstream has answered before it took the whole request, and may never read another (RFC 9112 section 9.3).
    if (connection.socket?.writableNeedDrain === true) connection.client.destroy(ignore);
    else if (closed === undefined && idle.length < maxIdle) idle.push(connection);
    else connection.client.close(ignore);
    if (taken === 0) closed?.resolve();
  };

  return {
    take() {
      const connection = takeIdle() ?? open();
      connection.taken = true;
      taken += 1;
      return connection;
    },
    give(connection) {
      if (!connection.taken) return;
      connection.taken = false;
      if (connection.socket?.writableNeedDrain === true) afterTurns(drainTurns, () => release(connection));
      else release(connection);
    },
    close() {
      if (closed !== undefined) return closed.promise;
      closed = Promise.withResolvers();
      for (const { client } of idle.splice(0)) client.close(ignore);
      if (taken === 0) closed.resolve();
      return closed.promise;
    },
  };
}

function afterTurns(turns: number, run: () => void): void {
  setImmediate(() => (turns === 1 ? run() : afterTurns(turns - 1, run)));
}
