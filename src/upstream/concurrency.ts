// Concurrency limits of an upstream: slots for requests and open streams, in all and per client, without a queue.
import type { Caller } from '../authn/principal.ts';
import type { UpstreamConfig } from '../config/schema/config.ts';
import { GatewayError } from '../errors.ts';

/** `stream`: a GET for events, a subscription or a WebSocket. `request`: all others, also those that an event stream answers. */
export type SlotKind = 'request' | 'stream';

type Limits = UpstreamConfig['limits'];

interface ClientSlots {
  requests: number;
  streams: number;
}

/** Taken slots. `clients` has only clients with slots. */
export interface Concurrency {
  requests: number;
  readonly clients: Map<string, ClientSlots>;
}

/** One request's slot, until `releaseSlot`. */
export interface Slot {
  readonly concurrency: Concurrency;
  readonly client: string;
  readonly own: ClientSlots;
  kind: SlotKind;
  released: boolean;
}

/** The client that a slot counts for: that of the credential, for all its subjects; without a credential the address. */
export function clientOf(caller: Caller | undefined, address: string): string {
  if (caller === undefined) return address;
  const { issuer, clientId } = caller.principal;
  return clientId === undefined ? subjectOf(caller, address) : `${issuer}\n${clientId}`;
}

/** The subject that a slot counts for: that of the credential, through all its clients; without a credential the address. */
export function subjectOf(caller: Caller | undefined, address: string): string {
  return caller === undefined ? address : `${caller.principal.issuer}\n\n${caller.principal.subject}`;
}

/** Creates counts of zero. */
export function createConcurrency(): Concurrency {
  return { requests: 0, clients: new Map() };
}

/** Takes a slot for a request of `client`. Throws GatewayError `overloaded` when a limit is reached. */
export function acquireSlot(concurrency: Concurrency, client: string, kind: SlotKind, limits: Limits): Slot {
  const known = concurrency.clients.get(client);
  const own = known ?? { requests: 0, streams: 0 };
  if (kind === 'stream') {
    if (own.streams >= limits.streamsPerClient) throw overloaded('streams_per_client');
  } else {
    if (concurrency.requests >= limits.concurrency) throw overloaded('concurrency');
    if (own.requests >= limits.concurrencyPerClient) throw overloaded('concurrency_per_client');
  }
  if (known === undefined) concurrency.clients.set(client, own);
  count(concurrency, own, kind, 1);
  return { concurrency, client, own, kind, released: false };
}

/** Turns a request's slot into a stream's, unless the client has no slot left for a stream. */
export function becomeStream(slot: Slot, limits: Limits): void {
  const { concurrency, own, kind, released } = slot;
  if (released || kind === 'stream' || own.streams >= limits.streamsPerClient) return;
  count(concurrency, own, 'stream', 1);
  count(concurrency, own, 'request', -1);
  slot.kind = 'stream';
}

/** Gives the slot back; a second time does nothing. */
export function releaseSlot(slot: Slot): void {
  if (slot.released) return;
  slot.released = true;
  const { concurrency, client, own, kind } = slot;
  count(concurrency, own, kind, -1);
  if (own.requests === 0 && own.streams === 0) concurrency.clients.delete(client);
}

function count(concurrency: Concurrency, own: ClientSlots, kind: SlotKind, by: 1 | -1): void {
  if (kind === 'stream') own.streams += by;
  else {
    own.requests += by;
    concurrency.requests += by;
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
