// The connections to one upstream: each carries one request at a time, and the one used last is used next.
import type { EventEmitter } from 'node:events';
import { buildConnector, Client } from 'undici';

/** One kept-alive connection, and its successor when the upstream closes it. */
export interface Connection {
  readonly client: Pick<Client, 'dispatch' | 'close'>;
  /** Out with somebody: `take` and `give` say so. */
  taken: boolean;
}

/** The connections of one upstream. */
export interface Connections {
  /** An idle connection, or a new one. The taker gives it back exactly once, when its request has ended or failed. */
  take(): Connection;
  give(connection: Connection): void;
  /** Closes what is idle now and the rest as it is given back; resolves when nothing is out. `take` goes on working meanwhile. */
  close(): Promise<void>;
}

/** More idle connections than this are closed rather than kept, so that a peak does not stay in memory. */
const maxIdle = 256;
const ignore = (): void => {};

/**
 * undici's Pool looks through all its connections for a free one, which costs more than forwarding once thousands of streams are open,
 * and never drops one again. Taking from a stack costs the same at any number.
 */
export function createConnections(
  origin: string,
  options: Omit<Client.Options, 'connect'>,
  connect: buildConnector.BuildOptions,
): Connections {
  const connector = buildConnector(connect);
  const idle: Connection[] = [];
  let taken = 0;
  let closed: PromiseWithResolvers<void> | undefined;

  const open = (): Connection => {
    const client = new Client(origin, { ...options, connect: connector });
    // A failure is reported to its request. Without a listener it would also end the process.
    (client as EventEmitter).on('error', ignore);
    return { client, taken: false };
  };

  return {
    take() {
      const connection = idle.pop() ?? open();
      connection.taken = true;
      taken += 1;
      return connection;
    },
    give(connection) {
      if (!connection.taken) return;
      connection.taken = false;
      taken -= 1;
      if (closed === undefined && idle.length < maxIdle) idle.push(connection);
      else connection.client.close(ignore);
      if (taken === 0) closed?.resolve();
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
