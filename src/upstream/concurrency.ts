// Concurrency limits of an upstream: the slots that its requests and open streams take, in all and per client. There is no queue.
import type { Caller } from '../authn/principal.ts';
import type { UpstreamConfig } from '../config/schema/config.ts';
import { GatewayError } from '../errors.ts';

/** A stream is a GET for events, a subscription or a WebSocket; every other request is one, also when an event stream answers it. */
export type SlotKind = 'request' | 'stream';

type Limits = UpstreamConfig['limits'];

interface ClientSlots {
  requests: number;
  streams: number;
}

/** The slots that are taken. Clients without any are not in it. */
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

/** Whom a slot counts for: the client of a credential, whoever its subject is; without a credential the address. */
export function clientOf(caller: Caller | undefined, address: string): string {
  if (caller === undefined) return address;
  const { issuer, clientId } = caller.principal;
  return clientId === undefined ? subjectOf(caller, address) : `${issuer}\n${clientId}`;
}

/** As `clientOf`, for what is counted by person: the subject of a credential, whatever client it came through. */
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

/** A request that turned out to be a stream counts as one, unless the client has no slot for another. */
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
