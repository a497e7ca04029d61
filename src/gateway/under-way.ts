// What a request that is carried out means to its upstream: its share of what that may bear at once, and whether it outlives its client.
import { clientOf, type Place, takePlace } from '../upstream/concurrency.ts';
import type { Exchange } from './runtime.ts';
import type { Route } from './snapshot.ts';

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
