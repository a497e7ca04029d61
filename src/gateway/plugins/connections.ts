// Connections of the public listener: their bounds, and the ones that end without a request.
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, RequestListener, Server } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { GatewayError } from '../../errors.ts';
import { limitConnections, limitHandshakes } from '../../http/connection/connection-limit.ts';
import { pipelineRequests } from '../../http/connection/pipelining.ts';
import { createReadTurns } from '../../http/connection/read-turns.ts';
import { closeInStages } from '../../http/connection/staged-close.ts';
import type { Log } from '../../log.ts';
import type { Runtime } from '../runtime.ts';
import { closing, recordConnection, refuseConnection } from './client-errors.ts';

const handshakeTimeoutMs = 10_000;
const logIntervalMs = 10_000;
const ignore = (): void => {};

/** Bounds the connections of the server, whose requests go to `listener`, and handles CONNECT and failed handshakes. */
export function superviseConnections(server: Server, listener: RequestListener, runtime: Runtime): void {
  const { metrics } = runtime;
  const limits = () => runtime.snapshot.config.server.limits;
  const turns = createReadTurns();
  // While the gateway drains, each response closes its connection.
  const concurrency = () => (runtime.draining ? 1 : limits().requestsPerConnection);
  const onConnection = (socket: Socket): void => {
    pipelineRequests(socket, listener, concurrency, turns);
    closeInStages(socket, () => limits().receiveTimeout);
  };
  if (runtime.snapshot.config.server.tls === undefined) server.on('connection', onConnection);
  else {
    server.on('secureConnection', onConnection);
    limitHandshakes(server, () => Math.min(handshakeTimeoutMs, limits().receiveTimeout));
  }
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket: Socket) =>
    onHandshakeFailure(error, socket, runtime),
  );
  server.on('connect', (request: IncomingMessage, socket: Socket) => {
    const error = new GatewayError('method_not_allowed', 'This gateway opens no tunnels.', { headers: closing });
    // Node has left the socket alone, and requests before this one may still be answered on it.
    socket.on('error', ignore).on('end', () => socket.end());
    socket.on('drain', () => {
      for (const { request: open, response } of runtime.open) if (open.socket === socket) response.emit('drain');
    });
    refuseConnection(error, socket, runtime, request.method);
  });
  const closed = (): void => {
    runtime.connections -= 1;
  };
  server.on('connection', (socket: Socket) => {
    runtime.connections += 1;
    socket.on('close', closed);
  });
  server.on('drop', () => metrics.connectionRefused('overloaded'));
  // Last, so that none of the listeners above gets a connection that is refused.
  limitConnections(server, {
    peerAddress: runtime.peerAddress,
    isExempt: (peer) => runtime.snapshot.isProxy(peer),
    limit: () => limits().connectionsPerAddress,
    refused: createRefusalLog(runtime),
  });
}

/** Counts refused connections, and logs the first one of each interval: a line for each would be a flood of its own. */
export function createRefusalLog({
  log,
  metrics,
  now,
}: {
  readonly log: Pick<Log, 'warn'>;
  readonly metrics: { connectionRefused(reason: string): void };
  readonly now: () => number;
}): (address: string) => void {
  let silentUntil = 0;
  return (address) => {
    metrics.connectionRefused('connections_per_address');
    if (now() < silentUntil) return;
    silentUntil = now() + logIntervalMs;
    log.warn({ address }, 'connections above server.limits.connectionsPerAddress are closed');
  };
}

/** Records a refused client certificate; other failed handshakes are only counted. */
function onHandshakeFailure(error: NodeJS.ErrnoException, socket: Socket, runtime: Runtime): void {
  const problem = socket instanceof TLSSocket ? socket.authorizationError : undefined;
  const aboutCertificate = Boolean(problem) || /CERTIFICATE|CERT_/.test(error.code ?? '');
  if (aboutCertificate)
    recordConnection(randomUUID(), socket, runtime, { reason: 'invalid_certificate', status: undefined });
  else runtime.metrics.connectionRefused('tls_handshake');
  socket.destroy();
}
