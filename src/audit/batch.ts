// The lines that go out in one write: the promise that their writers share, and how long it may take.
import { GatewayError } from '../errors.ts';

export interface Batch {
  readonly bodies: string[];
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: GatewayError) => void;
  readonly timer: NodeJS.Timeout;
  /** Of all bodies, in UTF-16 units. */
  length: number;
  /** The writers have been told that it came to nothing. */
  expired: boolean;
}

/** An empty batch, which nobody has to wait for. Once `timeoutMs` have passed it is shown to `expire`, unless its timer was cleared. */
export function openBatch(timeoutMs: number, expire: (late: Batch) => void): Batch {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  promise.catch(ignore);
  // An answer that came while the event loop was held up is seen before the timeout is judged.
  const timer = setTimeout(() => setImmediate(expire, batch), timeoutMs);
  const batch: Batch = { bodies: [], promise, resolve, reject, timer, length: 0, expired: false };
  return batch;
}

/** What the writers of lines that were not written are told. */
export function unavailable(cause: unknown): GatewayError {
  return new GatewayError(
    'audit_unavailable',
    'The request could not be recorded, so it was not carried out. Try again later.',
    { reason: 'audit', cause, headers: { 'retry-after': '1' } },
  );
}

function ignore(): void {}
