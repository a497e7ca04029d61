// The door of the running gateway: requests are taken, and connections that never become a request have their record and their count.
import { randomUUID } from 'node:crypto';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { FastifyInstance } from 'fastify';
import type { LoadedConfig } from '../config/load.ts';
import { createFront } from '../http/front.ts';
import { createListener, peerAddress } from '../http/listener.ts';
import { plainAddress } from '../ip-ranges.ts';
import { connectionEvent } from './request/audit-events.ts';
import { refuse, takeRequest } from './request/pipeline.ts';
import type { Runtime } from './runtime.ts';

/** Opens the door, which does not listen yet: requests go to `takeRequest`, what never becomes one is recorded and counted here. */
export async function openPublicListener(
  runtime: Runtime,
  { config, files }: LoadedConfig,
): Promise<{ app: FastifyInstance; server: Server }> {
  const app = await createFront({
    createServer: (listener) => createListener(config.server, files, listener),
    handle: (request, response) => takeRequest(request, response, runtime),
    connectionBroke(error, socket, method) {
      const exchange = [...runtime.open].findLast(({ request }) => request.socket === socket);
      if (exchange === undefined) {
        recordConnection(runtime, socket, error.code, error.status, method);
        return false;
      }
      void refuse(error, exchange, runtime);
      return true;
    },
  });
  const server = app.server as Server;
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket: Socket) =>
    onHandshakeFailure(runtime, error, socket),
  );
  server.on('drop', () => runtime.metrics.connectionRefused('overloaded'));
  server.on('error', (error) => runtime.log.error({ err: error }, 'the public listener reported an error'));
  return { app, server };
}

/** A refused client certificate has its record; scanners and broken handshakes only count. */
function onHandshakeFailure(runtime: Runtime, error: NodeJS.ErrnoException, socket: Socket): void {
  const problem = socket instanceof TLSSocket ? socket.authorizationError : undefined;
  const aboutCertificate = Boolean(problem) || /CERTIFICATE|CERT_/.test(error.code ?? '');
  if (aboutCertificate) recordConnection(runtime, socket, 'invalid_certificate', undefined);
  else runtime.metrics.connectionRefused('tls_handshake');
  socket.destroy();
}

function recordConnection(
  runtime: Runtime,
  socket: Socket,
  reason: string,
  status: number | undefined,
  method?: string,
): void {
  runtime.metrics.connectionRefused(reason);
  const event = connectionEvent({
    id: randomUUID(),
    address: plainAddress(peerAddress(socket)),
    method,
    reason,
    status,
    policy: runtime.snapshot.hash,
    nowMs: runtime.now(),
  });
  runtime.audit
    .write(event)
    .catch((cause: unknown) => runtime.log.error({ err: cause }, 'a refused connection could not be recorded'));
}
