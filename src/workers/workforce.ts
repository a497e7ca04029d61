// Worker processes of a supervisor: their start, their replacement, and what they do all together or not at all.
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../log.ts';
import { type Given, type RunningSeat, tryReplace } from './all-or-none.ts';
import { ChannelError } from './channel.ts';
import type { HandOver } from './hand-over.ts';
import type { SupervisorMetrics } from './metrics.ts';
import type { WorkerProcess } from './process.ts';
import { createSeat, delayAfterEnd, describeEnd, isAnswering, keepCounts, type Seat } from './seat.ts';
import type { Commons } from './shared/commons.ts';
import type { createSharedOutput } from './stdout.ts';

/** Options of `createWorkforce`. */
export interface WorkforceOptions {
  readonly count: number;
  /** Another generation of the gateway may run beside this one. */
  readonly isGeneration: boolean;
  readonly configFile: string;
  /** The name of the gateway in records; that of a worker is behind it. */
  readonly instance: string;
  readonly log: Log;
  readonly metrics: SupervisorMetrics;
  readonly handOver: HandOver;
  readonly commons: Commons;
  readonly output: ReturnType<typeof createSharedOutput>;
  readonly fork: (slot: number) => WorkerProcess;
  /** The configuration in force. */
  readonly inForce: () => Given;
  readonly address: () => AddressInfo;
  /** Told when no worker can be started any more. */
  readonly gaveUp: (problem: Error) => void;
}

/** The workers. */
export interface Workforce {
  readonly seats: readonly Seat[];
  /** Starts all of them; throws the problem of one that cannot start, and then none is left. */
  start(): Promise<void>;
  /** Brings a configuration into force in all workers, or throws and changes none. `install` takes it before the workers commit. */
  replace(next: () => Promise<Given>, install: () => void): Promise<void>;
  /** Tells the workers that a reload was refused, of which one makes the record. */
  refuse(problem: string): Promise<void>;
  /** Ends them, by force after `timeoutMs`, and replaces none. */
  stop(how: 'drain' | 'close', timeoutMs: number): Promise<void>;
  /** Ends them at once. */
  kill(): void;
}

const startTimeoutMs = 60_000;
/** A signal to one worker may be one to all processes, of which the supervisor makes a stop; then it says to the workers when. */
const groupSignalMs = 1000;
/** Without a worker for so long, and none that starts, the service manager has to act. */
const giveUpMs = 60_000;

/** Creates the workforce, without processes yet. */
export function createWorkforce(options: WorkforceOptions): Workforce {
  const { commons, count, handOver, inForce, log, metrics } = options;
  const seats = Array.from({ length: count }, (_, index) => createSeat({ number: index + 1, of: count }));
  const stopping = new AbortController();
  let aliveAt = performance.now();
  let last: Promise<unknown> = Promise.resolve();

  /** Starts and reloads come one after the other, so that every worker has the configuration in force. */
  function inTurn<T>(run: () => Promise<T>): Promise<T> {
    const next = last.then(run);
    last = next.catch(() => {});
    return next;
  }

  async function startIn(seat: Seat): Promise<void> {
    const { number } = seat.slot;
    const process = options.fork(number);
    seat.process = process;
    seat.state = 'starting';
    answerTo(seat, process);
    const { hash, reading } = inForce();
    const { configFile, instance, isGeneration } = options;
    const body = {
      slot: seat.slot,
      isGeneration,
      instance: `${instance}.${number}`,
      configFile,
      reading,
      address: options.address(),
      rootKey: commons.rootKey,
    };
    try {
      const started = await process.channel.ask('start', body, { timeoutMs: startTimeoutMs });
      if (started.hash !== hash) throw new Error('it has loaded another configuration');
    } catch (cause) {
      process.kill('it did not start');
      const end = await process.ended;
      seat.state = 'down';
      const isGone = cause instanceof ChannelError && cause.reason === 'closed';
      throw isGone ? new Error(describeEnd(end)) : cause;
    }
    const leave = commons.join(number, process.channel);
    void process.ended.then(leave);
    seat.state = 'up';
    metrics.workerUp(number, true);
    process.watch();
    seat.receiver = handOver.add((id, handle) =>
      process.channel.ask('connection', id, { handle, timeoutMs: Number.POSITIVE_INFINITY }),
    );
    void keep(seat, process);
  }

  function answerTo(seat: Seat, { channel }: WorkerProcess): void {
    commons.answer(channel);
    const output = options.output(seat.slot.number);
    channel.answer('closed', (id) => void seat.receiver?.closed(id));
    channel.answer('stdoutHead', output.prepare);
    channel.answer('stdout', async (chained) => void (await output.write(chained)));
    channel.answer('leave', (values) => {
      seat.values = values;
      return undefined;
    });
    channel.answer('retire', async () => {
      await delay(groupSignalMs, undefined, { signal: stopping.signal });
      seat.state = 'retiring';
      seat.receiver?.retire();
      return undefined;
    });
  }

  /** Waits for the end of a worker, and has another one in its place. */
  async function keep(seat: Seat, process: WorkerProcess): Promise<void> {
    const { number } = seat.slot;
    const end = await process.ended;
    seat.receiver?.remove();
    seat.receiver = undefined;
    seat.state = 'down';
    aliveAt = performance.now();
    metrics.workerUp(number, false);
    await keepCounts(seat);
    if (stopping.signal.aborted) return;
    const { code, killedFor, signal } = end;
    const reason = killedFor !== undefined ? 'hung' : signal !== null ? 'signal' : 'exit';
    const detail = { worker: number, pid: process.pid, code, signal, reason };
    note(seat, describeEnd(end), reason);
    log[code === 0 ? 'info' : 'error'](detail, `worker ${number} ended: ${seat.lastEnd}; another one takes its place`);
    seat.untold.push({ event: 'worker ended', ...detail });
    await refill(seat);
  }

  async function refill(seat: Seat): Promise<void> {
    const { signal } = stopping;
    while (!signal.aborted) {
      try {
        await delay(delayAfterEnd(seat, performance.now()), undefined, { signal });
        await inTurn(async () => signal.aborted || (await startIn(seat)));
        break;
      } catch (cause) {
        if (signal.aborted) return;
        const problem = (cause as Error).message;
        note(seat, `it did not start: ${problem}`, 'start');
        log.error({ worker: seat.slot.number }, `worker ${seat.slot.number} did not start: ${problem}`);
        const isAnyUp = seats.some(({ state }) => state === 'up' || state === 'retiring');
        if (!isAnyUp && performance.now() - aliveAt > giveUpMs)
          options.gaveUp(
            new Error(`no worker could be started for ${giveUpMs / 1000} s; the last one said: ${problem}`),
          );
      }
    }
    if (seat.state !== 'up') return;
    log.info({ worker: seat.slot.number, pid: seat.process?.pid }, `worker ${seat.slot.number} has been replaced`);
    for (const detail of seat.untold.splice(0)) await tell(seat, detail);
  }

  function note(seat: Seat, text: string, reason: string): void {
    seat.lastEnd = text;
    seat.endCount += 1;
    metrics.workerEnded(seat.slot.number, reason);
  }

  async function tell(seat: Seat, detail: Readonly<Record<string, unknown>>): Promise<void> {
    await seat.process?.channel
      .ask('record', detail)
      .catch((cause: unknown) => log.error({ err: cause, detail }, 'the end of a worker could not be recorded'));
  }

  const running = (): RunningSeat[] =>
    seats.filter(isAnswering).map((seat) => ({ seat, channel: seat.process.channel }));

  return {
    seats,
    async start() {
      const starts = await inTurn(() => Promise.allSettled(seats.map(startIn)));
      const failed = starts.find((each) => each.status === 'rejected');
      if (failed === undefined) return;
      await this.stop('close', startTimeoutMs);
      throw failed.reason;
    },
    async replace(next, install) {
      if (await inTurn(() => tryReplace(next, install, running))) return;
      // Once more with the workers that are left.
      if (await inTurn(() => tryReplace(next, install, running))) return;
      throw new Error('a worker ended while it prepared the configuration');
    },
    async refuse(problem) {
      const asked = running();
      if (asked.length === 0) log.error(`configuration not reloaded, the old one stays in force: ${problem}`);
      await Promise.allSettled(
        asked.map(({ channel }, index) => channel.ask('refuse', { problem, isTold: index > 0 })),
      );
    },
    async stop(how, timeoutMs) {
      stopping.abort();
      await Promise.all(
        seats.map(async ({ process }) => {
          if (process === undefined) return;
          const late = setTimeout(() => process.kill('it did not stop in time'), timeoutMs);
          process.channel.ask(how, undefined, { timeoutMs: Number.POSITIVE_INFINITY }).catch(() => {});
          await process.ended;
          clearTimeout(late);
        }),
      );
    },
    kill() {
      for (const { process } of seats) process?.kill('the supervisor ended');
    },
  };
}
