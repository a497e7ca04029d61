// Delivery of audit records through a transport: in order, at least once, with exponential backoff and full jitter.
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../../../errors.ts';
import type { Log } from '../../../log.ts';
import { DeliveryFailure, type Transport } from './transport.ts';

/** Options of `createDelivery`. */
export interface DeliveryOptions {
  /** The transport in use; a reload may replace it. */
  readonly transport: () => Transport;
  /** Distinguishes the sink, for the operator. */
  readonly key: string;
  readonly log: Log;
  /** Called for each batch that is tried again. */
  readonly retried: () => void;
  /** Ends everything. */
  readonly signal: AbortSignal;
  /** From 0 to 1; the system's by default. */
  readonly random?: (() => number) | undefined;
  readonly wait: Wait;
}

/** Resolves after so long; rejects when the signal is aborted. */
export type Wait = (ms: number, signal: AbortSignal) => Promise<unknown>;

/** State of a delivery, for metrics and status. */
export interface DeliveryState {
  /** Bytes that wait in the backlog. */
  readonly bytes: number;
  /** Instant of the oldest record that waits; milliseconds since 1970. */
  readonly since: number | undefined;
  /** The last failure; undefined while records are acknowledged. */
  readonly problem: string | undefined;
}

/** A record that the receiver will not take. */
export interface RefusedLine {
  readonly line: Buffer;
  readonly problem: string;
}

/** Delivers to one receiver. Its calls do not overlap. */
export interface Delivery {
  /**
   * Sends the lines from `from` on, and tries until each is acknowledged. The lines before are sent, but not flushed: they are sent again when the
   * connection breaks. With `confirm` all are flushed in the end. Yields the records that the receiver refuses for good while it takes others of these
   * lines. Throws the refusal when it takes none of them, and the reason of the abort.
   */
  deliver(lines: readonly Buffer[], from?: number, confirm?: boolean): Promise<readonly RefusedLine[]>;
  /** Waits before the next try, longer each time until something is acknowledged. */
  pause(failure: unknown): Promise<void>;
  /** The last failure; undefined once something was acknowledged. */
  problem(): string | undefined;
}

const maxBatchBytes = 1024 * 1024;
const maxBatchLines = 1000;
const firstPauseMs = 100;
const longestPauseMs = 10_000;
const longestRetryAfterMs = 300_000;
const maxDoublings = 16;

/** Creates it. */
export function createDelivery(options: DeliveryOptions): Delivery {
  const { transport, key, log, retried, signal, random = Math.random, wait } = options;
  let problem: string | undefined;
  let failures = 0;
  /** Lines in a batch: halved when one is too large or refused, doubled when one is sent. */
  let limit = maxBatchLines;
  let used: Transport | undefined;

  function acknowledged(): void {
    if (problem !== undefined) log.warn({ sink: key }, 'the receiver of audit records takes them again');
    problem = undefined;
    failures = 0;
  }

  async function pause(failure: unknown): Promise<void> {
    signal.throwIfAborted();
    const message = messageOf(failure);
    if (problem === undefined) log.error({ sink: key, problem: message }, 'audit records are not acknowledged; trying');
    problem = message;
    retried();
    const longest = Math.min(longestPauseMs, firstPauseMs * 2 ** failures);
    failures = Math.min(failures + 1, maxDoublings);
    const asked = failure instanceof DeliveryFailure ? Math.min(failure.retryAfterMs, longestRetryAfterMs) : 0;
    await wait(asked + random() * longest, signal);
  }

  async function deliver(lines: readonly Buffer[], from = 0, confirm = true): Promise<readonly RefusedLine[]> {
    const refused = new Map<Buffer, RefusedLine>();
    let isTaken = false;
    let next = from;
    for (;;) {
      signal.throwIfAborted();
      const current = transport();
      const isFlushed = current.flush !== undefined;
      if (isFlushed && used !== current) next = 0;
      used = current;
      const batch = batchAt(lines, next, limit);
      try {
        if (batch.length > 0) await current.send(batch, signal);
        else if (confirm && lines.length > 0) await current.flush?.(signal);
        if (batch.length === 0 || !isFlushed || !confirm) acknowledged();
        if (batch.length === 0) return [...refused.values()];
        limit = Math.min(limit * 2, maxBatchLines);
        isTaken = true;
        next += batch.length;
      } catch (error) {
        const kind = error instanceof DeliveryFailure && batch.length > 0 ? error.kind : 'again';
        if (kind === 'again') {
          await pause(error);
          if (isFlushed) next = 0;
        } else if (batch.length > 1) {
          limit = Math.ceil(batch.length / 2);
        } else {
          const [line] = batch as [Buffer];
          refused.set(line, { line, problem: (error as Error).message });
          next += 1;
          // It takes nothing at all, so the fault need not be in the records.
          if (next === lines.length && !isTaken) throw error;
        }
      }
    }
  }

  return { deliver, pause, problem: () => problem };
}

/** As many lines as fit into a batch, at least one where there is one. */
function batchAt(lines: readonly Buffer[], from: number, limit: number): readonly Buffer[] {
  let to = from;
  let bytes = 0;
  while (to < lines.length && to - from < limit) {
    bytes += lines[to]!.length;
    if (bytes > maxBatchBytes && to > from) break;
    to += 1;
  }
  return lines.slice(from, to);
}

/** The system's timer, which holds up no end of the process. */
export function waitUnheld(ms: number, signal: AbortSignal): Promise<void> {
  return delay(ms, undefined, { signal, ref: false });
}
