// Batch of audit lines that are written together, with the promise that their callers share.
import type { GatewayError } from '../../errors.ts';

/** Lines that are written together. */
export interface Batch {
  readonly bodies: string[];
  /** The bodies that are written later if they cannot be written now. */
  readonly kept: string[];
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: GatewayError) => void;
  timer: NodeJS.Timeout | undefined;
  /** Of all bodies, in UTF-16 units. */
  length: number;
  /** The callers have been refused, as the queue is too long; the lines are still written. */
  refused: boolean;
  /** The callers have been refused, as the sink has failed; the lines are counted as missed. */
  expired: boolean;
}

/** An empty batch, whose promise may be ignored. After `timeoutMs` it is given to `expire`, unless its timer was cleared. */
export function openBatch(timeoutMs: number, expire: (late: Batch) => void): Batch {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  promise.catch(() => {});
  const state = { timer: undefined, length: 0, refused: false, expired: false };
  const batch: Batch = { bodies: [], kept: [], promise, resolve, reject, ...state };
  batch.timer = expireAfter(timeoutMs, batch, expire);
  return batch;
}

/** An answer that came while the event loop was held up is seen before the timeout is judged. */
export function expireAfter(timeoutMs: number, batch: Batch, expire: (late: Batch) => void): NodeJS.Timeout {
  return setTimeout(() => setImmediate(expire, batch), timeoutMs);
}
