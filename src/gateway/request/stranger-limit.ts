// Limit of the records of refused requests, by address or subject (token bucket); the records of those beyond it are summed up.
import { randomUUID } from 'node:crypto';
import type { AuditEvent, AuditLog, AuditPrincipal, Priority } from '../../audit/event.ts';
import type { Config } from '../../config/schema/config.ts';
import { callerNetwork } from '../../ip-ranges.ts';
import type { Log } from '../../log.ts';
import type { LimitSize, SharedState } from '../../state/shared-state.ts';
import { unverified } from '../../state/usage-store.ts';

/** Dependencies of the limit. */
export interface StrangerLimitOptions {
  readonly audit: Pick<AuditLog, 'write' | 'healthy'>;
  readonly log: Pick<Log, 'error'>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly observe: { refusalSummed(): void };
  /** The configuration in force: the rate is its `server.limits.refusalsPerAddress`. */
  readonly snapshot: () => { readonly hash: string; readonly config: Pick<Config, 'server'> };
  /** State in which replicas count refusals together; undefined while they share none. */
  readonly shared?: () => Pick<SharedState, 'limiter'> | undefined;
}

/** A request that is to be answered: refused, or served without asking who it is. */
export interface StrangerRequest {
  /** The address, or the subject of a verified caller. */
  readonly key: string;
  /** Of a verified caller. */
  readonly principal?: AuditPrincipal | undefined;
  /** The limit that it is over. */
  readonly limit?: unknown;
  readonly outcome: NonNullable<AuditEvent['outcome']>;
  /** The code of the refusal, or the outcome. */
  readonly code: string;
  /** Of the refusal; undefined where nothing can be answered. Failures of ours (5xx) are answered above the limit too, anything else with 429. */
  readonly status: number | undefined;
}

/** The limit, with the sums that are not recorded yet. */
export interface StrangerLimit {
  /** True when the request has a record of its own; otherwise it is counted in the sum of its address. */
  allow(request: StrangerRequest): boolean;
  /** False while the rate of the address is used up. */
  hasRoom(address: string): boolean;
  /** Takes a forwarded request that failed, and its two records, from the rate. False above the limit: the operator's log then has no line of it. */
  countFailure(address: string, decided: AuditEvent): boolean;
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
  /** By outcome and answer; undefined while nothing was summed. */
  sums: Map<string, Sum> | undefined;
}

interface Sum extends Pick<StrangerRequest, 'limit' | 'principal'> {
  readonly outcome: StrangerRequest['outcome'];
  /** Of the answer. */
  readonly reason: string | undefined;
  readonly status: number | undefined;
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
/** No name that a configured limit may have. */
const sharedLimit = '#refusals';

/** Creates the limit. */
export function createStrangerLimit({
  audit,
  log,
  now,
  observe,
  shared,
  snapshot,
}: StrangerLimitOptions): StrangerLimit {
  const buckets = new Map<string, Bucket>();
  let sized: { readonly of: object; readonly size: Extract<LimitSize, { kind: 'bucket' }> } | undefined;

  function keyOf(address: string): string {
    const network = callerNetwork(address);
    return buckets.has(network) || buckets.size < maxAddresses ? network : sharedKey;
  }

  function bucketOf(address: string): Bucket {
    const { count } = snapshot().config.server.limits.refusalsPerAddress;
    const key = keyOf(address);
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

  /** Takes one request where it is left. */
  function take(bucket: Bucket): boolean {
    refill(bucket);
    if (!isLeft(bucket)) return false;
    bucket.requests -= 1;
    return true;
  }

  /** Counts a refusal at all replicas, unless it is a failure of ours. Nobody waits for it: where their rate is used up, the next request of the address is told. */
  function countEverywhere(bucket: Bucket, address: string): void {
    const key = keyOf(address);
    const state = key === sharedKey ? undefined : shared?.();
    if (state === undefined) return;
    const rate = snapshot().config.server.limits.refusalsPerAddress;
    if (sized?.of !== rate)
      sized = { of: rate, size: { kind: 'bucket', burst: rate.count, intervalMs: rate.perMs / rate.count } };
    const { size } = sized;
    state
      .limiter(sharedLimit, size)
      .consume(key, unverified, 'holder')
      .then(
        ({ allowed, retryAfterMs }) => {
          if (!allowed) bucket.requests = Math.min(bucket.requests, 1 - retryAfterMs / size.intervalMs);
        },
        // Counted where it failed; the rate of this process holds.
        () => {},
      );
  }

  function write(address: string, event: AuditEvent, priority: Priority = 'stranger'): Promise<void> {
    bucketOf(address).bytes -= bytesOf(event);
    return audit.write(event, priority);
  }

  function writeSums(bucket: Bucket, address: string): void {
    for (const { outcome, reason, status, limit, principal, count, firstMs, lastMs, codes } of bucket.sums?.values() ??
      []) {
      const summed = { requests: count, first: new Date(firstMs), last: new Date(lastMs), codes };
      const event: AuditEvent = {
        id: randomUUID(),
        time: now(),
        stage: 'completed',
        ...(principal === undefined || address === sharedKey ? { client: { address } } : { principal }),
        decision: outcome === 'refused' ? 'deny' : undefined,
        reason,
        status,
        outcome,
        detail: { limit, summed },
        policy: snapshot().hash,
      };
      write(address, event).catch((cause: unknown) =>
        log.error({ err: cause, address, summed }, 'requests of an address that were summed up could not be recorded'),
      );
    }
    bucket.sums = undefined;
  }

  return {
    allow(request) {
      const bucket = bucketOf(request.key);
      if (take(bucket)) {
        if (request.status !== undefined && request.status < 500) countEverywhere(bucket, request.key);
        return true;
      }
      observe.refusalSummed();
      bucket.sums ??= new Map();
      const { code, limit, principal } = request;
      const { outcome, reason, status } = answerOf(request);
      const key = `${outcome} ${reason} ${status} ${limit}`;
      let sum = bucket.sums.get(key);
      if (sum === undefined) {
        sum = { outcome, reason, status, limit, principal, count: 0, firstMs: now(), lastMs: now(), codes: {} };
        bucket.sums.set(key, sum);
      }
      sum.count += 1;
      sum.lastMs = now();
      sum.codes[code] = (sum.codes[code] ?? 0) + 1;
      return false;
    },
    hasRoom(address) {
      const bucket = buckets.get(keyOf(address));
      if (bucket === undefined) return true;
      refill(bucket);
      return isLeft(bucket);
    },
    countFailure(address, decided) {
      const bucket = bucketOf(address);
      const isWithin = take(bucket);
      bucket.bytes -= 2 * bytesOf(decided);
      return isWithin;
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

function isLeft({ bytes, requests }: Bucket): boolean {
  return requests >= 1 && bytes > 0;
}

function bytesOf({ detail, encodedParts = '' }: AuditEvent): number {
  const detailBytes = detail === undefined ? 0 : Buffer.byteLength(JSON.stringify(detail));
  return frameBytes + Buffer.byteLength(encodedParts) + detailBytes;
}

/** Of a request above the limit. */
function answerOf({ code, outcome, status }: StrangerRequest): Pick<Sum, 'outcome' | 'reason' | 'status'> {
  if (outcome !== 'refused') return { outcome, reason: undefined, status: undefined };
  if (status !== undefined && (status >= 500 || code === 'rate_limited')) return { outcome, reason: code, status };
  return { outcome, reason: 'rate_limited', status: status && 429 };
}
