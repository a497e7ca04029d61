// How much an upstream has to bear at this moment, in all and from each client, against its limits. There is no queue.
import type { Caller } from '../authn/principal.ts';
import type { UpstreamConfig } from '../config/schema/config.ts';
import { GatewayError } from '../errors.ts';

/** A stream is a GET for events or a subscription; every other request is one, also when an event stream answers it. */
export type PlaceKind = 'request' | 'stream';

type Limits = UpstreamConfig['limits'];

interface ClientLoad {
  requests: number;
  streams: number;
}

/** Clients without anything under way are not in it. */
export interface Load {
  requests: number;
  readonly clients: Map<string, ClientLoad>;
}

/** One request's share of the load, until `leavePlace`. */
export interface Place {
  readonly load: Load;
  readonly client: string;
  readonly own: ClientLoad;
  kind: PlaceKind;
  left: boolean;
}

/** Whose places they are: the client of a credential, whoever its subject is; without one the address. */
export function clientOf(caller: Caller | undefined, address: string): string {
  if (caller === undefined) return address;
  const { issuer, subject, clientId } = caller.principal;
  return clientId === undefined ? `${issuer}\n\n${subject}` : `${issuer}\n${clientId}`;
}

export function createLoad(): Load {
  return { requests: 0, clients: new Map() };
}

/** Takes a place for a request of `client`. Throws GatewayError `overloaded` when a limit is reached. */
export function takePlace(load: Load, client: string, kind: PlaceKind, limits: Limits): Place {
  const known = load.clients.get(client);
  const own = known ?? { requests: 0, streams: 0 };
  if (kind === 'stream') {
    if (own.streams >= limits.streamsPerClient) throw overloaded('streams_per_client');
  } else {
    if (load.requests >= limits.concurrency) throw overloaded('concurrency');
    if (own.requests >= limits.concurrencyPerClient) throw overloaded('concurrency_per_client');
  }
  if (known === undefined) load.clients.set(client, own);
  count(load, own, kind, 1);
  return { load, client, own, kind, left: false };
}

/** A request that turned out to be a stream counts as one, unless the client has no place for another. */
export function becomeStream(place: Place, limits: Limits): void {
  const { load, own, kind, left } = place;
  if (left || kind === 'stream' || own.streams >= limits.streamsPerClient) return;
  count(load, own, 'stream', 1);
  count(load, own, 'request', -1);
  place.kind = 'stream';
}

/** Gives the place back; a second time does nothing. */
export function leavePlace(place: Place): void {
  if (place.left) return;
  place.left = true;
  const { load, client, own, kind } = place;
  count(load, own, kind, -1);
  if (own.requests === 0 && own.streams === 0) load.clients.delete(client);
}

function count(load: Load, own: ClientLoad, kind: PlaceKind, by: 1 | -1): void {
  if (kind === 'stream') own.streams += by;
  else {
    own.requests += by;
    load.requests += by;
  }
}

const messages = {
  concurrency: 'The server behind this gateway is busy. Try again in a moment.',
  concurrency_per_client: 'This client has too many requests under way. Wait for one of them to end.',
  streams_per_client: 'This client holds too many event streams open. Close one of them first.',
} as const;

function overloaded(reason: keyof typeof messages): GatewayError {
  return new GatewayError('overloaded', messages[reason], { reason, headers: { 'retry-after': '1' } });
}
