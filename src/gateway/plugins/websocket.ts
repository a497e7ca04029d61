// WebSockets (RFC 6455) on routes that allow them: the offer passes the pipeline like a request, and the open connection is supervised.
import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { isIdle } from '../../http/connection/pipelining.ts';
import { ServerResponse } from '../../http/node-http.ts';
import { parseTarget } from '../../http/path.ts';
import { agreesToOffer } from '../../http/websocket/handshake.ts';
import type { ForwardOptions } from '../../upstream/forward.ts';
import { relayWebSocket } from '../../upstream/websocket-relay.ts';
import type { RequestContext, UpgradeOffer } from '../request/context.ts';
import type { Runtime } from '../runtime.ts';

/** Time that a client has to take its Close frame when the gateway stops. */
const closingGraceMs = 1000;
const ignore = (): void => {};

/**
 * True if the connection of a request may switch. Elsewhere the offer is ignored (RFC 9110 §7.8), also in HTTP/1.0 and behind a request that is
 * still to be answered.
 */
export function acceptsUpgrade(request: IncomingMessage, { snapshot }: Runtime): boolean {
  const { headers, httpVersion, method, socket } = request;
  if (method !== 'GET' || httpVersion !== '1.1' || headers.upgrade?.toLowerCase() !== 'websocket') return false;
  try {
    const { path } = parseTarget(snapshot.hosts.originForm(request.url!), snapshot.config.server.limits.urlBytes);
    const found = snapshot.match('GET', path);
    return found !== undefined && 'route' in found && found.route.websocket && isIdle(socket);
  } catch {
    return false;
  }
}

/** The response to a request that offers a WebSocket. */
interface UpgradeResponse extends ServerResponse {
  [offer]?: UpgradeOffer;
}

const offer = Symbol('upgrade offer');

/** The offer that a response belongs to; undefined for that of any other request. */
export function upgradeOfferOf(response: UpgradeResponse): UpgradeOffer | undefined {
  return response[offer];
}

/** Sends offers through the hooks of the application, and ends what is open when it closes. */
export function acceptUpgrades(app: FastifyInstance, runtime: Runtime): void {
  (app.server as Server).on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    socket.on('error', ignore);
    const response: UpgradeResponse = new ServerResponse(request);
    response[offer] = { socket, head };
    response.assignSocket(socket);
    // A refusal, or an upstream that does not switch: no other request follows on this connection.
    response.on('finish', () => socket.destroySoon());
    // Node has left the socket alone.
    socket.on('drain', () => response.emit('drain'));
    socket.on('end', () => {
      if (response.statusCode !== 101) socket.destroy();
    });
    app.routing(request, response);
  });
  app.addHook('preClose', async () => {
    for (const { context, stream } of runtime.streams) if (context.upgrade !== undefined) stream.end('shutdown');
    const sockets = [...runtime.open].flatMap(({ upgrade }) => upgrade?.socket ?? []);
    for (const socket of sockets) socket.destroySoon();
    setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, closingGraceMs).unref();
  });
}

/** Continues the transfer of a WebSocket offer once the upstream agrees; undefined for every other request. */
export function webSocketOf(context: RequestContext): ForwardOptions['upgrade'] {
  const { upgrade } = context;
  if (upgrade === undefined) return undefined;
  return {
    protocol: 'websocket',
    agrees: (rawHeaders) => agreesToOffer(rawHeaders, context.request.headers['sec-websocket-key']),
    switched(transfer, upstream) {
      const relay = relayWebSocket(upgrade.socket, upstream, {
        head: upgrade.head,
        idleMs: transfer.upstream.timeouts.idle,
        onBytes: (bytes) => {
          transfer.bytes += bytes;
        },
      });
      context.response.prependListener('close', () => {
        context.outcome ??= relay.closedCleanly() ? 'completed' : 'aborted';
        context.detail = { websocket: { messages: relay.messages() } };
      });
      return relay;
    },
  };
}
