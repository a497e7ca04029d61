// Load client of the parts that measure latency: keep-alive TLS connections that do as little as they can, in a closed loop or at a fixed rate.
import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';

export interface LoadTarget {
  readonly port: number;
  readonly ca: string;
  readonly token: string;
  readonly body: string;
  readonly connections: number;
}

export interface Load {
  /** Each connection sends as soon as it is answered. Yields the latencies in milliseconds. */
  closedLoop(until: Until): Promise<number[]>;
  /** So many requests a second, whatever the answers do. A latency counts from the time at which the request was to be sent. */
  openLoop(perSecond: number, until: Until): Promise<number[]>;
  close(): void;
}

/** Asked before each request, with the number of those before it. */
export type Until = (sent: number) => boolean;

/** Opens the connections. An answer that is not 200 fails the loop. */
export async function openLoad(target: LoadTarget): Promise<Load> {
  const connections = await Promise.all(Array.from({ length: target.connections }, () => openConnection(target)));
  return {
    async closedLoop(until) {
      const latencies: number[] = [];
      let sent = 0;
      const worker = async (connection: Connection): Promise<void> => {
        while (!until(sent)) {
          sent++;
          const started = performance.now();
          await connection.send();
          latencies.push(performance.now() - started);
        }
      };
      await Promise.all(connections.map(worker));
      return latencies;
    },
    openLoop: (perSecond, until) => openLoop(connections, perSecond, until),
    close() {
      for (const connection of connections) connection.close();
    },
  };
}

function openLoop(connections: readonly Connection[], perSecond: number, until: Until): Promise<number[]> {
  const latencies: number[] = [];
  const idle = [...connections];
  const due: number[] = [];
  const started = performance.now();
  let planned = 0;
  let over = false;
  return new Promise((resolve, reject) => {
    const intendedTime = () => started + (planned * 1000) / perSecond;
    // With each answer too, not by the timer alone: its millisecond would count as latency, and hide the difference of two fast targets.
    const advance = (): void => {
      over ||= until(planned);
      const now = performance.now();
      for (let at = intendedTime(); !over && at <= now; at = intendedTime()) {
        due.push(at);
        planned++;
      }
      while (due.length > 0 && idle.length > 0) {
        // In turn: a server closes a connection that is idle for long.
        const [connection, intended] = [idle.shift()!, due.shift()!];
        connection.send().then(() => {
          latencies.push(performance.now() - intended);
          idle.push(connection);
          advance();
        }, reject);
      }
    };
    const tick = (): void => {
      advance();
      // Those that were never sent have waited for so long at least.
      if (over) for (const intended of due.splice(0)) latencies.push(performance.now() - intended);
      if (over && idle.length === connections.length) resolve(latencies);
      else setTimeout(tick, 1);
    };
    tick();
  });
}

interface Connection {
  /** Resolves when the answer has come whole. */
  send(): Promise<void>;
  close(): void;
}

async function openConnection({ port, ca, token, body }: LoadTarget): Promise<Connection> {
  const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca });
  socket.setNoDelay(true);
  await once(socket, 'secureConnect');
  const head = [
    'POST /mcp HTTP/1.1',
    `host: localhost:${port}`,
    `authorization: Bearer ${token}`,
    'content-type: application/json',
    'accept: application/json, text/event-stream',
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  const request = Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`);
  return {
    send() {
      socket.write(request);
      return answered(socket);
    },
    close: () => socket.destroy(),
  };
}

/** One answer with a `Content-Length`. */
function answered(socket: TLSSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    let head = '';
    let missing = Number.NaN;
    if (socket.destroyed) return reject(new Error('the connection is closed'));
    const settle = (error?: Error): void => {
      socket.off('data', onData).off('close', onClose).off('error', settle);
      if (error === undefined) resolve();
      else reject(error);
    };
    const onClose = () => settle(new Error('the connection was closed'));
    const onData = (data: Buffer): void => {
      if (Number.isNaN(missing)) {
        head += data.toString('latin1');
        missing = missingBytes(head);
      } else missing -= data.length;
      if (missing === 0) settle();
      else if (missing < 0) settle(new Error(`wrong answer: ${head}`));
    };
    socket.on('data', onData).on('close', onClose).on('error', settle);
  });
}

/** Bytes still to come behind the beginning of an answer: unknown (NaN) before its head is whole, -1 where it is not 200 with a length. */
function missingBytes(begun: string): number {
  const end = begun.indexOf('\r\n\r\n');
  if (end < 0) return Number.NaN;
  const length = /^content-length: *(\d+)/im.exec(begun)?.[1];
  if (!begun.startsWith('HTTP/1.1 200') || length === undefined) return -1;
  return Number(length) - (begun.length - end - 4);
}
