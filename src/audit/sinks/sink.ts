// Audit sink with group commit: lines that arrive during a write go out together in the next one.
import type { GatewayError } from '../../errors.ts';
import { overloaded, RecordsRefused, unavailable } from '../errors.ts';
import type { Priority } from '../event.ts';
import { type Batch, expireAfter, openBatch } from './batch.ts';
import type { AuditObserver, ChainWriter } from './chain-writer.ts';

/** Options of `createSink`. */
export interface SinkOptions {
  /** The sink's type, as metrics name it. */
  readonly type: string;
  readonly writer: ChainWriter;
  readonly timeoutMs: number;
  /** Interval of the target's housekeeping. A failed target is tried four times as often. */
  readonly tickMs: number;
  readonly observe?: AuditObserver | undefined;
}

/** A queue of lines in front of one target. */
export interface Sink {
  /**
   * Resolves when the line is written. Rejects with `audit_unavailable` when it is not written in time, and with `overloaded` when there is no room
   * for its priority; then the sink is as healthy as before. Lines are written in the order of the calls. The promise is shared by all lines of
   * one write, and may be ignored. A line that is `kept` and could not be written is written when the target works again, before any later line.
   */
  append(body: string, priority?: Priority, kept?: boolean): Promise<void>;
  healthy(): boolean;
  /** The reason for which the sink is not healthy; undefined while it is. */
  problem(): string | undefined;
  setTimeoutMs(timeoutMs: number): void;
  /** Writes what is queued and a last signed head, bounded by the timeout, and closes the target. */
  close(): Promise<void>;
}

/** In UTF-16 units. One write hashes at most this much, so that the event loop is not held up. */
const maxBatchLength = 1024 * 1024;
/** In UTF-16 units: a line is queued while the queue is shorter. Completions are as many as the decisions that were written. */
const maxQueueLength: Readonly<Record<Priority, number>> = {
  stranger: 4 * 1024 * 1024,
  decision: 16 * 1024 * 1024,
  completion: Number.POSITIVE_INFINITY,
};
/** Longest wait of a completion for others to be written with. */
const lingerMs = 5;
/** A write of so many lines, such as a completion and the next decision, is no sign of load. */
const fewLines = 2;
/** Longest growth of a batch while lines arrive in every turn of the event loop. */
const gatherMs = 5;
/** Retries of a failed target for each interval of housekeeping. */
const retriesPerTick = 4;

/** Starts a sink over a writer that was opened, or has failed to be. */
export function createSink(options: SinkOptions): Sink {
  const { type, writer, observe } = options;
  let { timeoutMs } = options;
  let queue: Batch[] = [];
  let queueLength = 0;
  let current: Batch | undefined;
  let running = false;
  /** A call into the writer is out. */
  let busy = false;
  let busySinceMs = 0;
  /** That call has outlived the timeout of a batch. */
  let stuck = false;
  let tickDue = false;
  let lingering: NodeJS.Timeout | undefined;
  let appended = 0;
  let lastLines = 0;
  let closing = false;
  let whenIdle: (() => void) | undefined;

  const healthy = (): boolean => writer.problem() === undefined;
  let beats = 0;
  const ticker = setInterval(() => {
    beats += 1;
    if (healthy() && beats % retriesPerTick !== 0) return;
    tickDue = true;
    start();
  }, options.tickMs / retriesPerTick);
  ticker.unref();

  function append(body: string, priority: Priority = 'decision', kept = false): Promise<void> {
    if (closing) return refuse('the audit log is closed', []);
    if (stuck) return refuse('an earlier write has not returned', kept ? [body] : []);
    if (queueLength + body.length > maxQueueLength[priority]) return shed();
    let batch = queue.at(-1);
    if (batch === undefined || batch.refused || batch.length >= maxBatchLength) {
      batch = openBatch(timeoutMs, expire);
      queue.push(batch);
    }
    batch.bodies.push(body);
    if (kept) batch.kept.push(body);
    appended += 1;
    batch.length += body.length;
    queueLength += body.length;
    if (!running) {
      if (priority !== 'completion') start();
      else lingering ??= setTimeout(start, lingerMs);
    }
    return batch.promise;
  }

  /**
   * Writes at once where the last write served few lines. Otherwise once a whole turn of the event loop has brought no further line: under load a
   * write, which wakes a thread, then serves many.
   */
  function start(): void {
    if (running) return;
    running = true;
    if (lastLines <= fewLines) void run();
    else setImmediate(gather, undefined, performance.now() + gatherMs);
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
      await attempt(writer.tick());
    }
    current = queue.shift();
    if (current !== undefined) {
      queueLength -= current.length;
      lastLines = current.bodies.length;
      settle(current, await attempt(writer.write(current.bodies)));
      current = undefined;
    }
    running = false;
    if (queue.length > 0 || tickDue) start();
    else whenIdle?.();
  }

  /** Waits for a call into the writer. Yields what it threw, undefined when it went well. */
  async function attempt(call: Promise<void>): Promise<unknown> {
    busy = true;
    busySinceMs = performance.now();
    try {
      await call;
      return undefined;
    } catch (error) {
      if (!(error instanceof RecordsRefused)) writer.fail(error);
      return error ?? new Error('unknown');
    } finally {
      busy = false;
      if (stuck) tickDue = true;
      stuck = false;
    }
  }

  function settle(batch: Batch, error: unknown): void {
    clearTimeout(batch.timer);
    const isMissed = error !== undefined && !(error instanceof RecordsRefused);
    if (isMissed) writer.keep(batch.kept);
    if (batch.expired) return;
    if (isMissed) writer.miss(batch.bodies.length, batch.kept.length);
    else observe?.written(type, batch.bodies.length);
    if (error === undefined) batch.resolve();
    else batch.reject(unavailable(error));
  }

  /** Behind calls that return in time the queue is too long: the callers are refused, and the lines are written all the same. */
  function expire(late: Batch): void {
    if (late.expired || (late !== current && !queue.includes(late))) return;
    const leftMs = busy ? busySinceMs + timeoutMs - performance.now() : timeoutMs;
    if (leftMs < 1) failAll();
    else if (late === current) late.timer = expireAfter(leftMs, late, expire);
    else {
      late.refused = true;
      late.reject(overloaded);
    }
  }

  /** Nothing that waits behind a call that does not return will be written in time either. */
  function failAll(): void {
    const batches = current === undefined ? queue : [current, ...queue];
    stuck = true;
    queue = [];
    queueLength = 0;
    const error = new Error(`no answer within ${timeoutMs} ms`);
    const refusal = unavailable(error);
    writer.fail(error);
    for (const batch of batches) {
      if (batch.expired) continue;
      batch.expired = true;
      clearTimeout(batch.timer);
      writer.miss(batch.bodies.length, batch.kept.length);
      // The current one may still be written.
      if (batch !== current) writer.keep(batch.kept);
      batch.reject(refusal);
    }
  }

  function shed(): Promise<void> {
    writer.shed();
    return rejected(overloaded);
  }

  function refuse(reason: string, kept: readonly string[]): Promise<void> {
    const error = new Error(reason);
    if (!closing) writer.fail(error);
    writer.miss(1, kept.length);
    writer.keep(kept);
    return rejected(unavailable(error));
  }

  async function close(): Promise<void> {
    if (closing) return;
    closing = true;
    clearInterval(ticker);
    tickDue ||= writer.isBehind();
    if (queue.length > 0 || tickDue) start();
    const { promise: late, resolve: expired } = Promise.withResolvers<void>();
    const timer = setTimeout(expired, timeoutMs);
    if (running) {
      const { promise: idle, resolve } = Promise.withResolvers<void>();
      whenIdle = resolve;
      await Promise.race([idle, late]);
    }
    if (!running && healthy()) await Promise.race([attempt(writer.sign()), late]);
    clearTimeout(timer);
    if (!busy || writer.abort()) await writer.close();
  }

  return {
    append,
    healthy,
    problem: writer.problem,
    setTimeoutMs: (next) => {
      timeoutMs = next;
    },
    close,
  };
}

/** A rejected promise that may be ignored. */
function rejected(error: GatewayError): Promise<never> {
  const promise = Promise.reject(error);
  promise.catch(ignore);
  return promise;
}

function ignore(): void {}
