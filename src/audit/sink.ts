// Group commit: the lines that arrive while one write is in flight go out together in the next. The same for every sink.

import { GatewayError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Urgency } from './event.ts';

/** What a sink writes to. The sink calls one method at a time and waits for it, so a target never overlaps with itself. */
export interface SinkTarget {
  /** Opens it, continuing what is there. Called again after a failure until it succeeds. */
  open(): Promise<void>;
  /** Chains and writes the bodies as whole lines, all or none; a failed write leaves nothing behind and the chain where it was. */
  write(bodies: readonly string[]): Promise<void>;
  /** Housekeeping, about once a second; throws when the target turns out to be broken. */
  tick(): Promise<void>;
  close(): Promise<void>;
}

/** Called with the number of records; `sink` is the sink's name. */
export interface AuditObserver {
  written(sink: string, records: number): void;
  failed(sink: string, records: number): void;
}

export interface SinkOptions {
  /** Its type, as metrics name it. */
  readonly name: string;
  /** What tells it from others of its type, for the operator. */
  readonly label: string;
  readonly target: SinkTarget;
  readonly timeoutMs: number;
  /** How often the target's housekeeping runs; a failed target is tried again four times as often. */
  readonly tickMs: number;
  /** Text that a recovered target receives first: how many records it missed and since when. */
  readonly recoveryRecord: (missed: number, since: number) => string;
  readonly now: () => number;
  readonly log: Log;
  readonly observe: AuditObserver | undefined;
}

export interface Sink {
  readonly name: string;
  /**
   * Resolves when the line is written; rejects with `audit_unavailable` when it is not written in time. Lines are written
   * in the order of the calls. The promise is shared by all lines of one write, and may be ignored. A line that is `kept` and could not be
   * written is written when the target works again, before any later line.
   */
  append(body: string, urgency?: Urgency, kept?: boolean): Promise<void>;
  healthy(): boolean;
  /** Why it is not healthy; undefined while it is. */
  problem(): string | undefined;
  setTimeoutMs(timeoutMs: number): void;
  /** Writes what is queued, bounded by the timeout, and closes the target. */
  close(): Promise<void>;
}

/** In UTF-16 units. One write hashes at most this much, so that the event loop is not held up. */
const maxBatchLength = 1024 * 1024;
/** How long a line that nobody waits for may wait for company. */
const lingerMs = 5;
/** How long lines wait for company while more of them arrive in every turn of the event loop. */
const gatherMs = 5;
/** A failed target is tried again this many times as often as a sound one is looked after. */
const retriesPerTick = 4;
const maxQueueLength = 16 * 1024 * 1024;
/** More lines than this are not kept for a target that does not work. */
const maxOwed = 1000;

/** Starts a sink over a target that `open` has already been tried on; `openError` is what that ended in. */
export function createSink(options: SinkOptions, openError?: unknown): Sink {
  const { name, target, now, log, observe } = options;
  let { timeoutMs } = options;
  let queue: Batch[] = [];
  let queueLength = 0;
  let current: Batch | undefined;
  let running = false;
  let busy = false;
  /** The call into the target that is out has outlived somebody's timeout. */
  let stuck = false;
  let tickDue = false;
  let lingering: NodeJS.Timeout | undefined;
  let appended = 0;
  let closing = false;
  let whenIdle: (() => void) | undefined;
  let opened = openError === undefined;
  let failure: { readonly since: number; readonly error: unknown; missed: number } | undefined;
  /** Lines that go before all others, since they could not be written when it was their turn. */
  let owed: string[] = [];

  if (openError !== undefined) fail(openError);
  let beats = 0;
  const ticker = setInterval(() => {
    beats += 1;
    if (failure === undefined && beats % retriesPerTick !== 0) return;
    tickDue = true;
    start();
  }, options.tickMs / retriesPerTick);
  ticker.unref();

  function append(body: string, urgency: Urgency = 'now', kept = false): Promise<void> {
    const retained = kept ? [body] : [];
    if (closing) return refused('the audit log is closed', []);
    if (stuck) return refused('an earlier write has not returned', retained);
    if (queueLength + body.length > maxQueueLength) return refused('the queue is full', retained);
    let batch = queue.at(-1);
    if (batch === undefined || batch.length >= maxBatchLength) {
      batch = openBatch(timeoutMs, expire);
      queue.push(batch);
    }
    batch.bodies.push(body);
    if (kept) batch.kept.push(body);
    appended += 1;
    batch.length += body.length;
    queueLength += body.length;
    if (!running) {
      if (urgency === 'now') start();
      else lingering ??= setTimeout(start, lingerMs);
    }
    return batch.promise;
  }

  /** Writes once a whole turn of the event loop has brought no further line: under load a write, which wakes a thread, then serves many. */
  function start(): void {
    if (running) return;
    running = true;
    setImmediate(gather, undefined, performance.now() + gatherMs);
  }

  function gather(before: number | undefined, untilMs: number): void {
    if (appended === before || performance.now() >= untilMs) void run();
    else setImmediate(gather, appended, untilMs);
  }

  async function run(): Promise<void> {
    clearTimeout(lingering);
    lingering = undefined;
    if (tickDue) {
      tickDue = false;
      await attempt(housekeep);
    }
    current = queue.shift();
    if (current !== undefined) {
      queueLength -= current.length;
      const { bodies } = current;
      const error = await attempt(() => deliver(bodies));
      settle(current, error);
      current = undefined;
    }
    running = false;
    if (queue.length > 0 || tickDue) start();
    else whenIdle?.();
  }

  /** One call into the target. Yields what it threw, undefined when it went well. */
  async function attempt(call: () => Promise<void>): Promise<unknown> {
    busy = true;
    try {
      await call();
      return undefined;
    } catch (error) {
      fail(error);
      return error ?? new Error('unknown');
    } finally {
      busy = false;
      if (stuck) tickDue = true;
      stuck = false;
    }
  }

  async function housekeep(): Promise<void> {
    if (opened) await target.tick();
    if (failure !== undefined) await deliver([]);
  }

  /** After a failure the first thing written is the record of what was missed. */
  async function deliver(bodies: readonly string[]): Promise<void> {
    if (!opened) {
      await target.open();
      opened = true;
    }
    if (failure === undefined) return target.write(bodies);
    const told = failure.missed;
    const due = owed.length;
    await target.write([options.recoveryRecord(told, failure.since), ...owed, ...bodies]);
    owed = owed.slice(due);
    observe?.written(name, due);
    log.warn({ sink: options.label, missed: told }, 'audit sink works again');
    failure = failure.missed > told || owed.length > 0 ? { ...failure, missed: failure.missed - told } : undefined;
  }

  function settle(batch: Batch, error: unknown): void {
    clearTimeout(batch.timer);
    if (error !== undefined) owe(batch.kept);
    if (batch.expired) return;
    if (error === undefined) {
      observe?.written(name, batch.bodies.length);
      batch.resolve();
    } else {
      miss(batch.bodies.length, batch.kept.length);
      batch.reject(unavailable(error));
    }
  }

  /** Nothing that waits behind a call that does not return will be written in time either. */
  function expire(late: Batch): void {
    const batches = current === undefined ? queue : [current, ...queue];
    if (late.expired || !batches.includes(late)) return;
    stuck = busy;
    queue = [];
    queueLength = 0;
    const error = new Error(`no answer within ${timeoutMs} ms`);
    const refusal = unavailable(error);
    fail(error);
    for (const batch of batches) {
      if (batch.expired) continue;
      batch.expired = true;
      clearTimeout(batch.timer);
      miss(batch.bodies.length, batch.kept.length);
      // What is out may still be written.
      if (batch !== current) owe(batch.kept);
      batch.reject(refusal);
    }
  }

  function refused(why: string, kept: readonly string[]): Promise<void> {
    const error = new Error(why);
    if (!closing) fail(error);
    miss(1, kept.length);
    owe(kept);
    const promise = Promise.reject(unavailable(error));
    promise.catch(ignore);
    return promise;
  }

  function fail(error: unknown): void {
    if (failure !== undefined) return;
    failure = { since: now(), error, missed: 0 };
    log.error({ sink: options.label, err: error }, 'audit sink failed; trying again until it works');
  }

  /** `kept` of them are only late. */
  function miss(records: number, kept: number): void {
    observe?.failed(name, records);
    if (failure !== undefined) failure.missed += records - kept;
  }

  function owe(bodies: readonly string[]): void {
    owed.push(...bodies);
    if (failure !== undefined) failure.missed += Math.max(0, owed.length - maxOwed);
    owed.splice(maxOwed);
  }

  async function close(): Promise<void> {
    if (closing) return;
    closing = true;
    clearInterval(ticker);
    tickDue ||= owed.length > 0;
    if (queue.length > 0 || tickDue) start();
    if (running) {
      const { promise, resolve } = Promise.withResolvers<void>();
      whenIdle = resolve;
      const timer = setTimeout(resolve, timeoutMs);
      await promise;
      clearTimeout(timer);
    }
    if (!busy) await target.close();
  }

  return {
    name,
    append,
    healthy: () => failure === undefined,
    problem: () => failure && (failure.error instanceof Error ? failure.error.message : String(failure.error)),
    setTimeoutMs: (next) => {
      timeoutMs = next;
    },
    close,
  };
}

function ignore(): void {}

export interface Batch {
  readonly bodies: string[];
  /** Those of them that are written later if they cannot be written now. */
  readonly kept: string[];
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
  const batch: Batch = { bodies: [], kept: [], promise, resolve, reject, timer, length: 0, expired: false };
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
