// How much an upstream has to bear at this moment, in all and from each client, against its limits. There is no queue.
import type { Caller } from '../authn/principal.ts';
import type { UpstreamConfig } from '../config/schema.ts';
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
  const own = load.clients.get(client);
  if (kind === 'stream') {
    if ((own?.streams ?? 0) >= limits.streamsPerClient) throw overloaded('streams_per_client');
  } else {
    if (load.requests >= limits.concurrency) throw overloaded('concurrency');
    if ((own?.requests ?? 0) >= limits.concurrencyPerClient) throw overloaded('concurrency_per_client');
  }
  count(load, client, kind, 1);
  return { load, client, kind, left: false };
}

/** A request that turned out to be a stream counts as one, unless the client has no place for another. */
export function becomeStream(place: Place, limits: Limits): void {
  const { load, client, kind, left } = place;
  if (left || kind === 'stream' || (load.clients.get(client)?.streams ?? 0) >= limits.streamsPerClient) return;
  count(load, client, 'stream', 1);
  count(load, client, 'request', -1);
  place.kind = 'stream';
}

/** Gives the place back; a second time does nothing. */
export function leavePlace(place: Place): void {
  if (place.left) return;
  place.left = true;
  count(place.load, place.client, place.kind, -1);
}

function count(load: Load, client: string, kind: PlaceKind, by: 1 | -1): void {
  const own = load.clients.get(client) ?? { requests: 0, streams: 0 };
  if (kind === 'stream') own.streams += by;
  else {
    own.requests += by;
    load.requests += by;
  }
  if (own.requests === 0 && own.streams === 0) load.clients.delete(client);
  else load.clients.set(client, own);
}

const messages = {
  concurrency: 'The server behind this gateway is busy. Try again in a moment.',
  concurrency_per_client: 'This client has too many requests under way. Wait for one of them to end.',
  streams_per_client: 'This client holds too many event streams open. Close one of them first.',
} as const;

function overloaded(reason: keyof typeof messages): GatewayError {
  return new GatewayError('overloaded', messages[reason], { reason, headers: { 'retry-after': '1' } });
}
