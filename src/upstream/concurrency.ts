// Concurrency limits of an upstream: slots of requests, streams and drains, by subject, by client and in all, without a queue.
import type { UpstreamConfig } from '../config/schema/config.ts';
import { type GatewayError, overloadedBy } from '../errors.ts';
import { createKeyedCounts, type KeyedCounts } from '../keyed-counts.ts';
import type { LimitShares, SharedLimit } from '../limit-share.ts';

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

type SharedLimits = Readonly<Record<ConcurrencyLimit, SharedLimit>>;

/** Taken slots. */
export interface Concurrency {
  readonly all: Counts;
  readonly subjects: KeyedCounts<Counts>;
  readonly clients: KeyedCounts<Counts>;
  /** The parts of this process in the limits; undefined where it has them for itself. */
  readonly shared: SharedLimits | undefined;
}

/** The keys that a slot counts for: a subject through all its clients, and a client for all its people. */
export interface SlotHolder {
  readonly subject: string;
  readonly client: string;
}

/** One request's slot, until `releaseSlot`. */
export interface Slot {
  readonly concurrency: Concurrency;
  readonly holder: SlotHolder;
  readonly subject: Counts;
  readonly client: Counts;
  kind: SlotKind;
  released: boolean;
}

/** Creates counts of zero. With `shares` the limits are those of several processes together, which know this upstream by `name`. */
export function createConcurrency(name = '', shares?: LimitShares): Concurrency {
  const counts = { all: none(), subjects: createKeyedCounts(none), clients: createKeyedCounts(none) };
  const used = {
    all: () => counts.all,
    client: counts.clients.of,
    subject: counts.subjects.of,
  };
  const open = ([limit, { by, kind }]: [string, LimitRow]) =>
    [limit, shares!.open(`${name} ${limit}`, (key) => used[by](key)[kind])] as const;
  const shared = shares && (Object.fromEntries(Object.entries(limitTable).map(open)) as SharedLimits);
  return { ...counts, shared };
}

/** Forgets the parts of this process in the limits. */
export function closeConcurrency({ shared }: Concurrency): void {
  for (const limit of Object.values(shared ?? {})) limit.close();
}

/** Takes a slot, or gives the limit that is reached, in the part of this process where several share it. */
export function takeSlot(
  concurrency: Concurrency,
  holder: SlotHolder,
  kind: SlotKind,
  limits: Limits,
): Slot | ConcurrencyLimit {
  const subject = concurrency.subjects.of(holder.subject);
  const client = concurrency.clients.of(holder.client);
  const slot: Slot = { concurrency, holder, subject, client, kind, released: false };
  const limit = reachedLimit(slot, kind, limits);
  if (limit !== undefined) return limit;
  count(slot, kind, 1);
  return slot;
}

/** The refusal of a request by a limit. */
export function refusalOf(limit: ConcurrencyLimit): GatewayError {
  return overloadedBy(limit, limitTable[limit].message);
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

/**
 * Repeats what a limit stops for as long as other processes have an unused part of that limit. Gives the limit that stops it in all of them; in a
 * process of its own the one of the first attempt.
 */
export async function attemptInAll(
  attempt: () => ConcurrencyLimit | undefined,
  { shared }: Concurrency,
  holder: SlotHolder,
  limits: Limits,
): Promise<ConcurrencyLimit | undefined> {
  let limit = attempt();
  while (limit !== undefined && shared !== undefined) {
    const { by, size } = limitTable[limit];
    const isExtended = await shared[limit].extend(by === 'all' ? '' : holder[by], size(limits));
    if (!isExtended) break;
    limit = attempt();
  }
  return limit;
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
function reachedLimit(slot: Slot, kind: SlotKind, limits: Limits): ConcurrencyLimit | undefined {
  const { shared } = slot.concurrency;
  for (const limit of limitsOf[kind]) {
    const { by, size } = limitTable[limit];
    const max = size(limits);
    const part = shared === undefined ? max : shared[limit].of(by === 'all' ? '' : slot.holder[by], max);
    const counts = by === 'all' ? slot.concurrency.all : slot[by];
    if (counts[kind] >= part) return limit;
  }
  return undefined;
}

interface LimitRow {
  readonly kind: SlotKind;
  /** Its key: the subject, the client, or one for all. */
  readonly by: 'all' | 'client' | 'subject';
  readonly size: (limits: Limits) => number;
  /** Of the refusal. */
  readonly message: string;
}

const busy = 'The server behind this gateway is busy. Try again in a moment.';
const waitForOne = 'You have too many requests under way. Wait for one of them to end.';

const limitTable: Readonly<Record<ConcurrencyLimit, LimitRow>> = {
  concurrency: { kind: 'request', by: 'all', size: (limits) => limits.concurrency, message: busy },
  concurrency_per_client: {
    kind: 'request',
    by: 'client',
    size: (limits) => limits.concurrencyPerClient,
    message: 'This client has too many requests under way. Wait for one of them to end.',
  },
  concurrency_per_subject: {
    kind: 'request',
    by: 'subject',
    size: (limits) => limits.concurrencyPerSubject,
    message: waitForOne,
  },
  streams_per_client: {
    kind: 'stream',
    by: 'client',
    size: (limits) => limits.streamsPerClient ?? Number.POSITIVE_INFINITY,
    message: 'This client holds too many event streams open. Close one of them first.',
  },
  streams_per_subject: {
    kind: 'stream',
    by: 'subject',
    size: (limits) => limits.streamsPerSubject,
    message: 'You hold too many event streams open. Close one of them first.',
  },
  drains: { kind: 'drain', by: 'all', size: (limits) => limits.drains, message: busy },
  drains_per_subject: {
    kind: 'drain',
    by: 'subject',
    size: (limits) => limits.drainsPerSubject,
    message: waitForOne,
  },
};

/** In the order in which they are looked at. */
const limitsOf: Readonly<Record<SlotKind, readonly ConcurrencyLimit[]>> = {
  request: ['concurrency', 'concurrency_per_client', 'concurrency_per_subject'],
  stream: ['streams_per_client', 'streams_per_subject'],
  drain: ['drains', 'drains_per_subject'],
};
