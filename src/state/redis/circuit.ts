// Circuit breaker around a Redis client: bounded time for each command, and trials with growing pauses during an outage.
import type { OpenRedis, RedisClient } from './client.ts';
import { StateFailure, stateFailureOf } from './failure.ts';

/** Told when an outage begins, and when it is over. */
export interface OutageObserver {
  outageBegan(): void;
  outageEnded(): void;
}

/** A client that fails fast. */
export interface Circuit {
  /** The first trial. Resolves when it is over, whatever its outcome. */
  connect(): Promise<void>;
  /** The reply as `read` takes it, undefined for one that is none. Throws a StateFailure; at once during an outage. */
  ask<T>(key: string, command: readonly string[], read: (reply: unknown) => T | undefined): Promise<T>;
  /** The failure that an outage began with; undefined while there is none. */
  outage(): StateFailure | undefined;
  /** Resolves when the commands under way have ended. */
  close(): Promise<void>;
}

/** Bounds of time. */
export interface CircuitTimes {
  /** For the answer to a command. */
  readonly commandMs: number;
  /** For a connection with all its greetings. */
  readonly connectMs: number;
}

const defaultTimes: CircuitTimes = { commandMs: 500, connectMs: 3000 };
/** Failures in succession that begin an outage. */
const maxFailures = 3;
const firstPauseMs = 100;
const maxPauseMs = 5000;
/** A connection that was not used for so long is tried, so that its loss is seen before a request needs it. */
const idleMs = 5000;

/** A write by way of a script, as limits need it: what permits it permits them. */
const trialScript =
  "redis.call('TIME') redis.call('GET', KEYS[1]) return redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])";

/** Creates a circuit that is not connected. `trialKey` is written to. */
export function createCircuit(
  open: OpenRedis,
  trialKey: string,
  observe: OutageObserver,
  { commandMs, connectMs }: CircuitTimes = defaultTimes,
): Circuit {
  let outage: StateFailure | undefined;
  let failures = 0;
  let pauses = 0;
  let pending = 0;
  let askedMs = performance.now();
  let isClosed = false;
  let client: RedisClient | undefined;
  let timer: NodeJS.Timeout | undefined;

  function renew(): RedisClient {
    client?.destroy();
    const next = open((error) => {
      if (client === next) begin(stateFailureOf(error));
    });
    client = next;
    return next;
  }

  async function send(to: RedisClient, key: string, command: readonly string[]): Promise<unknown> {
    pending += 1;
    try {
      return await within(commandMs, to.send(key, command));
    } finally {
      pending -= 1;
    }
  }

  async function write(to: RedisClient): Promise<void> {
    const reply = await send(to, trialKey, ['EVAL', trialScript, '1', trialKey, String(10 * idleMs)]);
    if (reply !== 'OK') throw new StateFailure('unexpected_reply');
  }

  function begin(failure: StateFailure): void {
    if (isClosed || outage !== undefined) return;
    outage = failure;
    observe.outageBegan();
    pause();
  }

  function countFailure(failure: StateFailure): void {
    failures += 1;
    if (failures >= maxFailures) begin(failure);
  }

  /** A half to the whole of the pause, so that replicas do not return together. */
  function pause(): void {
    const pauseMs = Math.min(firstPauseMs * 2 ** pauses, maxPauseMs) * (0.5 + Math.random() / 2);
    pauses += 1;
    clearTimeout(timer);
    timer = setTimeout(() => void retry(), pauseMs).unref();
  }

  async function connect(): Promise<void> {
    const next = renew();
    await within(connectMs, next.connect());
    await write(next);
  }

  async function retry(): Promise<void> {
    try {
      await connect();
    } catch (error) {
      if (isClosed) return;
      outage ??= stateFailureOf(error);
      return pause();
    }
    if (isClosed) return;
    outage = undefined;
    failures = 0;
    pauses = 0;
    observe.outageEnded();
    watch();
  }

  function watch(): void {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (outage !== undefined || client === undefined) return;
      if (performance.now() - askedMs < idleMs) return watch();
      askedMs = performance.now();
      write(client).then(watch, (error: unknown) => begin(stateFailureOf(error)));
    }, idleMs).unref();
  }

  return {
    async connect() {
      try {
        await connect();
        watch();
      } catch (error) {
        begin(stateFailureOf(error));
      }
    },
    async ask(key, command, read) {
      if (outage !== undefined) throw outage;
      if (client === undefined) throw new StateFailure('unreachable');
      askedMs = performance.now();
      try {
        const value = read(await send(client, key, command));
        if (value === undefined) throw new StateFailure('unexpected_reply');
        failures = 0;
        return value;
      } catch (error) {
        const failure = stateFailureOf(error);
        // The server is well: the one key is not.
        if (failure.outcome !== 'wrong_type') countFailure(failure);
        throw failure;
      }
    },
    outage: () => outage,
    async close() {
      isClosed = true;
      clearTimeout(timer);
      // Each of them is bounded.
      while (pending > 0) await new Promise((resolve) => setTimeout(resolve, 10));
      client?.destroy();
    },
  };
}

async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  // After one more look at the sockets: this process itself may have been busy.
  const timer = setTimeout(() => setImmediate(() => late.reject(new StateFailure('timeout'))), ms);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
