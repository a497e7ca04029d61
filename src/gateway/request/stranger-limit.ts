// Rate limit of requests without a verified caller, by address (token bucket); the records of those beyond it are summed up.
import { randomUUID } from 'node:crypto';
import type { AuditEvent, AuditLog, Priority } from '../../audit/event.ts';
import type { Config } from '../../config/schema/config.ts';
import { callerNetwork } from '../../ip-ranges.ts';
import type { Log } from '../../log.ts';

/** Dependencies of the limit. */
export interface StrangerLimitOptions {
  readonly audit: Pick<AuditLog, 'write' | 'healthy'>;
  readonly log: Pick<Log, 'error'>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly observe: { refusalSummed(): void };
  /** The configuration in force: the rate is its `server.limits.refusalsPerAddress`. */
  readonly snapshot: () => { readonly hash: string; readonly config: Pick<Config, 'server'> };
}

/** A request that is to be answered: refused, or served without asking who it is. */
export interface StrangerRequest {
  readonly address: string;
  readonly outcome: NonNullable<AuditEvent['outcome']>;
  /** The code of the refusal, or the outcome. */
  readonly code: string;
}

/** The limit, with the sums that are not recorded yet. */
export interface StrangerLimit {
  /** True when the request has a record of its own; otherwise it is counted in the sum of its address. */
  allow(request: StrangerRequest): boolean;
  /** Writes a record of a request within the limit. The default priority is `stranger`. */
  record(address: string, event: AuditEvent, priority?: Priority): Promise<void>;
  /**
   * Writes the record of each sum, and forgets addresses that have been quiet. Called about once a second, and at the end. Before the end, sums
   * wait for a log that works.
   */
  flush(isEnd?: boolean): void;
}

interface Bucket {
  /** Requests and bytes of records that the address may still have; bytes below zero are owed. */
  requests: number;
  bytes: number;
  refilledMs: number;
  /** By outcome; undefined while nothing was summed. */
  sums: Map<StrangerRequest['outcome'], Sum> | undefined;
}

interface Sum {
  count: number;
  readonly firstMs: number;
  lastMs: number;
  readonly codes: Record<string, number>;
}

/** Bytes of records that come with each request of the rate: 20/s are less than a megabyte a minute, whatever the requests hold. */
const bytesPerRequest = 640;
/** The members of a record that no caller chooses. */
const frameBytes = 640;
/** Unused bytes are kept for so many times the requests of the rate. */
const burst = 2;
/** Addresses with a bucket of their own; all others share one. */
const maxAddresses = 1000;
const sharedKey = 'others';

/** Creates the limit. */
export function createStrangerLimit({ audit, log, now, observe, snapshot }: StrangerLimitOptions): StrangerLimit {
  const buckets = new Map<string, Bucket>();

  function bucketOf(address: string): Bucket {
    const { count } = snapshot().config.server.limits.refusalsPerAddress;
    const network = callerNetwork(address);
    const key = buckets.has(network) || buckets.size < maxAddresses ? network : sharedKey;
    let bucket = buckets.get(key);
    if (bucket === undefined) {
      bucket = { requests: count, bytes: count * bytesPerRequest * burst, refilledMs: now(), sums: undefined };
      buckets.set(key, bucket);
    }
    return bucket;
  }

  /** True when the address has been quiet: nothing is used up. */
  function refill(bucket: Bucket): boolean {
    const { count, perMs } = snapshot().config.server.limits.refusalsPerAddress;
    const time = now();
    // A clock that was set back refills nothing.
    const earned = (Math.max(0, time - bucket.refilledMs) * count) / perMs;
    const maxBytes = count * bytesPerRequest * burst;
    bucket.requests = Math.min(count, bucket.requests + earned);
    bucket.bytes = Math.min(maxBytes, bucket.bytes + earned * bytesPerRequest);
    bucket.refilledMs = time;
    return bucket.requests === count && bucket.bytes === maxBytes;
  }

  function write(address: string, event: AuditEvent, priority: Priority = 'stranger'): Promise<void> {
    const { detail, encodedParts = '' } = event;
    const detailBytes = detail === undefined ? 0 : Buffer.byteLength(JSON.stringify(detail));
    bucketOf(address).bytes -= frameBytes + Buffer.byteLength(encodedParts) + detailBytes;
    return audit.write(event, priority);
  }

  function writeSums(bucket: Bucket, address: string): void {
    for (const [outcome, { count, firstMs, lastMs, codes }] of bucket.sums ?? []) {
      const refused = outcome === 'refused';
      const summed = { requests: count, first: new Date(firstMs), last: new Date(lastMs), codes };
      const event: AuditEvent = {
        id: randomUUID(),
        time: now(),
        stage: 'completed',
        client: { address },
        decision: refused ? 'deny' : undefined,
        reason: refused ? 'rate_limited' : undefined,
        status: refused ? 429 : undefined,
        outcome,
        detail: { summed },
        policy: snapshot().hash,
      };
      write(address, event).catch((cause: unknown) =>
        log.error({ err: cause, address, summed }, 'requests of an address that were summed up could not be recorded'),
      );
    }
    bucket.sums = undefined;
  }

  return {
    allow({ address, code, outcome }) {
      const bucket = bucketOf(address);
      refill(bucket);
      if (bucket.requests >= 1 && bucket.bytes > 0) {
        bucket.requests -= 1;
        return true;
      }
      observe.refusalSummed();
      bucket.sums ??= new Map();
      let sum = bucket.sums.get(outcome);
      if (sum === undefined) {
        sum = { count: 0, firstMs: now(), lastMs: now(), codes: {} };
        bucket.sums.set(outcome, sum);
      }
      sum.count += 1;
      sum.lastMs = now();
      sum.codes[code] = (sum.codes[code] ?? 0) + 1;
      return false;
    },
    record: write,
    flush(isEnd = false) {
      const isWriting = isEnd || audit.healthy();
      for (const [address, bucket] of buckets) {
        if (bucket.sums === undefined) {
          if (refill(bucket)) buckets.delete(address);
        } else if (isWriting) writeSums(bucket, address);
      }
    },
  };
}
