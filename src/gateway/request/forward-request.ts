// The way of an allowed request to its upstream and of the answer back: the credential shown there, session ids, lists, streams, and what is counted.
import { GatewayError } from '../../errors.ts';
import { answerFilter, type FilterAnswer, readingOf } from '../../mcp/response/response-filter.ts';
import { sessionIdForClient } from '../../mcp/session.ts';
import { showsItem } from '../../policy/visibility.ts';
import { clientOf, leavePlace, type Place, takePlace } from '../../upstream/concurrency.ts';
import { forward } from '../../upstream/forward.ts';
import type { RewriteHeaders } from '../../upstream/response-headers.ts';
import type { Upstream } from '../../upstream/upstream.ts';
import { attributesOf, type Exchange, type Runtime } from '../runtime.ts';
import type { Route } from '../snapshot.ts';
import { responseHeaders } from './local-responses.ts';
import { watchStream } from './streams.ts';

/** What proves to the upstream who is calling: made here, never the caller's own credential. */
export function authorizationFor(
  { caller, request }: Exchange,
  { upstream }: Route,
  runtime: Runtime,
): string | undefined | Promise<string> {
  if (upstream?.authorize === undefined) return undefined;
  if (caller === undefined) {
    throw new GatewayError('denied', 'The upstream has to know who is calling.', { reason: 'identity' });
  }
  return upstream.authorize(caller, runtime.now(), request.headers.authorization);
}

export async function forwardTo(
  upstream: NonNullable<Route['upstream']>,
  exchange: Exchange,
  route: Route,
  { body, authorization }: { readonly body: Buffer; readonly authorization: string | undefined },
  runtime: Runtime,
): Promise<void> {
  const { request, response } = exchange;
  const { target, shapeRequest } = upstream;
  const result = await forward(
    target,
    {
      method: exchange.method,
      path: request.url!,
      headers: shapeRequest({
        rawHeaders: request.rawHeaders,
        caller: exchange.caller,
        session: exchange.session,
        authorization,
        requestId: exchange.id,
        clientAddress: exchange.clientAddress,
      }),
      body: body.length === 0 ? null : body,
    },
    response,
    {
      extraHeaders: responseHeaders(exchange, runtime),
      rewriteHeaders: rewritesOf(exchange, route),
      filter: filterOf(upstream.target, exchange, route, runtime),
      subscription: isSubscription(exchange),
      leftBehind: outlivesClient(upstream, exchange) ? runtime.leftBehind : undefined,
      onResponseStart(status, stream) {
        exchange.upstreamStatus = status;
        if (stream !== undefined) watchStream(stream, exchange, route, runtime);
      },
    },
  );
  if (result.rest !== undefined) keepPlace(exchange, result.rest);
  exchange.bytes = result.bytes;
  exchange.outcome ??= result.outcome;
  if (result.firstByteMs !== undefined) runtime.metrics.upstreamResponded(target.name, result.firstByteMs / 1000);
  if (result.failure !== undefined)
    runtime.log.warn(
      { id: exchange.id, upstream: target.name, reason: result.failure },
      'the upstream broke off its answer',
    );
}

/** The client is gone and the exchange over, but not the upstream's work: the place is taken until then. */
function keepPlace(exchange: Exchange, rest: Promise<void>): void {
  const { place } = exchange;
  exchange.place = undefined;
  if (place !== undefined) void rest.then(() => leavePlace(place));
}

/** The record of an answer that opens a session says so: it is the one that names who the session belongs to. */
function rewritesOf(exchange: Exchange, { sessions }: Route): RewriteHeaders | undefined {
  if (sessions === undefined) return undefined;
  return {
    'mcp-session-id'(upstreamId) {
      const { sealed, isNew, mark } = sessionIdForClient(
        sessions,
        upstreamId,
        exchange.session,
        exchange.caller?.principal,
      );
      if (isNew) exchange.detail = { session: { id: mark } };
      return sealed;
    },
  };
}

/** Lists are read on their way back, and show what a call would be allowed to use. */
function filterOf(upstream: Upstream, exchange: Exchange, route: Route, runtime: Runtime): FilterAnswer | undefined {
  const { mcp, policy, metaTools } = route;
  const reading = mcp && readingOf(exchange.message, metaTools);
  if (mcp === undefined || reading === undefined) return undefined;
  return answerFilter(reading, {
    shows: showsItem(attributesOf(exchange, route, runtime), { policy, metaTools, lists: mcp.lists }),
    withheld: (cause) => {
      const { id } = exchange;
      runtime.log.warn({ id, upstream: upstream.name, err: cause }, 'the result of a search could not be read');
    },
    maxBytes: upstream.limits.responseBytes,
  });
}

/** A POST whose answer is a stream without an end of its own (MCP 2026-07-28, Subscriptions). */
export function isSubscription({ message }: Exchange): boolean {
  return message?.method === 'subscriptions/listen';
}

/**
 * Takes a place at the upstream of the route. A GET on an MCP route and a subscription are streams from the start; everything else is a
 * request, also where an event stream answers it, as Superset does to every call. Throws GatewayError `overloaded`.
 */
export function takePlaceAt({ target }: NonNullable<Route['upstream']>, exchange: Exchange): Place {
  const listens = exchange.route?.mcp !== undefined && (exchange.method === 'GET' || isSubscription(exchange));
  const client = clientOf(exchange.caller, exchange.clientAddress);
  return takePlace(target.load, client, listens ? 'stream' : 'request', target.limits);
}

/**
 * Whether the upstream's answer is read to its end when the client leaves. A message that states its revision is of one in which leaving
 * cancels the call; in older ones it must not, and there are servers that take harm from it.
 */
export function outlivesClient({ target }: NonNullable<Route['upstream']>, exchange: Exchange): boolean {
  const { onClientDisconnect } = target;
  if (exchange.route?.mcp === undefined || exchange.method !== 'POST' || isSubscription(exchange)) return false;
  if (onClientDisconnect !== 'auto') return onClientDisconnect === 'drain';
  return exchange.message?.protocolVersion === undefined;
}
