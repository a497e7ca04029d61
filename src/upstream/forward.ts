// Forwarding of a judged request to its upstream: one dispatch on a connection of its own, one retry of GET and HEAD, no redirects followed.
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { type Connection, isWritten } from './connection-pool.ts';
import { upstreamFailure } from './errors.ts';
import {
  rejectResponse,
  relayBody,
  relayEnd,
  relayFailure,
  relayHead,
  relayInformational,
  relayUpgrade,
} from './response/relay.ts';
import {
  abortUpstream,
  type ForwardOptions,
  type ForwardRequest,
  type ForwardResult,
  startTransfer,
  type Transfer,
} from './transfer.ts';
import type { Upstream } from './upstream.ts';

export type { ForwardOptions, ForwardRequest, ForwardResult, OpenStream } from './transfer.ts';

/**
 * Forwards one request. Resolves when the client's side has closed, with any outcome. Rejects with a GatewayError when nothing was sent to the
 * client, which can still be answered: `bad_upstream`, `upstream_timeout`, `overloaded` without descriptors, or the error of the request's body
 * stream. A client that leaves ends the upstream's request at once, except with `options.drain`. When the upstream breaks off in the body, the
 * client's connection is cut.
 * GET and HEAD without a body are sent once more when the connection was closed before any response; everything else is sent once.
 * `send` hands the request to its connection; `dispatch` by default.
 */
export function forward(
  upstream: Upstream,
  request: ForwardRequest,
  response: ServerResponse,
  options: ForwardOptions = {},
  send: (transfer: Transfer) => void = dispatch,
): Promise<ForwardResult> {
  return startTransfer({ upstream, request, response, options, send });
}

/** Sends the request of a transfer on a connection of its upstream; the response goes to the client. */
export function dispatch(transfer: Transfer): void {
  const { upstream, request, options } = transfer;
  transfer.attempts += 1;
  const connection = upstream.connections.take();
  const isStreamed = request.body !== null && !Buffer.isBuffer(request.body);
  if (isStreamed) boundFirstByte(transfer, request.body);
  connection.client.dispatch(
    {
      path: upstream.basePath + request.path,
      method: request.method as Dispatcher.HttpMethod,
      headers: request.headers,
      body: request.body,
      ...(isStreamed && { headersTimeout: 0 }),
      ...(options.upgrade && { upgrade: options.upgrade.protocol }),
    },
    createHandler(transfer, connection),
  );
}

/**
 * `timeouts.firstByte` of a streamed request. undici counts from its begin. This timer counts from the last byte of its body, or from where the
 * upstream takes no more of it; the time of the client is bounded where the body is received.
 */
function boundFirstByte(transfer: Transfer, body: Readable): void {
  const timer = setTimeout(() => {
    const waitsForClient = !body.readableEnded && body.readableLength === 0;
    if (waitsForClient) timer.refresh();
    else rejectResponse(transfer, 'first_byte_timeout');
  }, transfer.upstream.timeouts.firstByte).unref();
  for (const event of ['progress', 'end']) body.on(event, () => timer.refresh());
  transfer.firstByteTimer = timer;
}

function createHandler(transfer: Transfer, connection: Connection): Dispatcher.DispatchHandler {
  const { connections } = transfer.upstream;
  return {
    onRequestStart(controller) {
      transfer.controller = controller;
      if (transfer.ended && transfer.drain === undefined) abortUpstream(transfer);
    },
    onRequestUpgrade(controller, _status, _headers, socket) {
      connections.give(connection);
      relayUpgrade(transfer, controller.rawHeaders as Buffer[], socket as Socket);
    },
    onResponseStart(controller, status) {
      const more =
        status < 200 && status !== 101 && status >= 100
          ? relayInformational(transfer, status, controller.rawHeaders as Buffer[])
          : relayHead(transfer, status, controller.rawHeaders as Buffer[]);
      // undici would keep them until the body ends, which an event stream may never do.
      controller.rawHeaders = null;
      if (!more) controller.pause();
    },
    onResponseData(controller, chunk) {
      if (!relayBody(transfer, chunk)) controller.pause();
    },
    onResponseEnd() {
      transfer.bodyWritten = isWritten(connection);
      connections.give(connection);
      transfer.controller = undefined;
      relayEnd(transfer);
    },
    onResponseError(_controller, cause) {
      connections.give(connection);
      transfer.controller = undefined;
      relayFailure(transfer, upstreamFailure(cause), cause);
    },
  };
}
