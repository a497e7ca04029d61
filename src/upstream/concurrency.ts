// Concurrency limits of an upstream: slots of requests, streams and drains, by subject, by client and in all, without a queue.
import type { UpstreamConfig } from '../config/schema/config.ts';
import { overloadedBy } from '../errors.ts';
import { createKeyedCounts, type KeyedCounts } from '../keyed-counts.ts';

/**
 * `stream`: a GET for events, a subscription or a WebSocket. `drain`: a request whose client has left and whose answer is read to its end.
 * `request`: all others, also those that an event stream answers.
 */
export type SlotKind = 'request' | 'stream' | 'drain';

type Limits = UpstreamConfig['limits'];
type Counts = Record<SlotKind, number>;

/** The limits, as a closed list for records and metrics. */
export type ConcurrencyLimit =
  | 'concurrency'
  | 'concurrency_per_client'
  | 'concurrency_per_subject'
  | 'streams_per_client'
  | 'streams_per_subject'
  | 'drains'
  | 'drains_per_subject';

/** Taken slots. */
export interface Concurrency {
  readonly all: Counts;
  readonly subjects: KeyedCounts<Counts>;
  readonly clients: KeyedCounts<Counts>;
}

/** The keys that a slot counts for: a subject through all its clients, and a client for all its people. */
export interface SlotHolder {
  readonly subject: string;
  readonly client: string;
}

/** One request's slot, until `releaseSlot`. */
export interface Slot {
  readonly concurrency: Concurrency;
  readonly subject: Counts;
  readonly client: Counts;
  kind: SlotKind;
  released: boolean;
}

/** Creates counts of zero. */
export function createConcurrency(): Concurrency {
  return { all: none(), subjects: createKeyedCounts(none), clients: createKeyedCounts(none) };
}

/** Takes a slot. Throws GatewayError `overloaded` when a limit is reached. */
export function acquireSlot(concurrency: Concurrency, holder: SlotHolder, kind: SlotKind, limits: Limits): Slot {
  const subject = concurrency.subjects.of(holder.subject);
  const client = concurrency.clients.of(holder.client);
  const slot: Slot = { concurrency, subject, client, kind, released: false };
  const limit = reachedLimit(slot, kind, limits);
  if (limit !== undefined) throw overloadedBy(limit, messages[limit]);
  count(slot, kind, 1);
  return slot;
}

/** Turns a slot into one of another kind. Gives the limit that does not allow it, and then changes nothing. */
export function convertSlot(slot: Slot, kind: SlotKind, limits: Limits): ConcurrencyLimit | undefined {
  if (slot.released || slot.kind === kind) return undefined;
  const limit = reachedLimit(slot, kind, limits);
  if (limit !== undefined) return limit;
  count(slot, slot.kind, -1);
  count(slot, kind, 1);
  slot.kind = kind;
  return undefined;
}

/** Gives the slot back; a second time does nothing. */
export function releaseSlot(slot: Slot): void {
  if (slot.released) return;
  slot.released = true;
  count(slot, slot.kind, -1);
}

function none(): Counts {
  return { request: 0, stream: 0, drain: 0 };
}

function count({ concurrency, subject, client }: Slot, kind: SlotKind, by: 1 | -1): void {
  concurrency.all[kind] += by;
  subject[kind] += by;
  client[kind] += by;
}

/** The limit that one more slot of this kind would pass. */
function reachedLimit(
  { concurrency, subject, client }: Slot,
  kind: SlotKind,
  limits: Limits,
): ConcurrencyLimit | undefined {
  const { all } = concurrency;
  switch (kind) {
    case 'request':
      if (all.request >= limits.concurrency) return 'concurrency';
      if (client.request >= limits.concurrencyPerClient) return 'concurrency_per_client';
      return subject.request >= limits.concurrencyPerSubject ? 'concurrency_per_subject' : undefined;
    case 'stream':
      if (client.stream >= (limits.streamsPerClient ?? Number.POSITIVE_INFINITY)) return 'streams_per_client';
      return subject.stream >= limits.streamsPerSubject ? 'streams_per_subject' : undefined;
    case 'drain':
      if (all.drain >= limits.drains) return 'drains';
      return subject.drain >= limits.drainsPerSubject ? 'drains_per_subject' : undefined;
  }
}

const messages: Readonly<Record<ConcurrencyLimit, string>> = {
  concurrency: 'The server behind this gateway is busy. Try again in a moment.',
  concurrency_per_client: 'This client has too many requests under way. Wait for one of them to end.',
  concurrency_per_subject: 'You have too many requests under way. Wait for one of them to end.',
  streams_per_client: 'This client holds too many event streams open. Close one of them first.',
  streams_per_subject: 'You hold too many event streams open. Close one of them first.',
  drains: 'The server behind this gateway is busy. Try again in a moment.',
  drains_per_subject: 'You have too many requests under way. Wait for one of them to end.',
};
