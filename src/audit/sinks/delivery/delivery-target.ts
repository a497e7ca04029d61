// Targets of sinks with a receiver elsewhere: a required one waits for the acknowledgement, any other delivers from a backlog.
import { RecordsRefused } from '../../errors.ts';
import { type ChainHead, genesis, hashOf, seqOf } from '../../hash-chain.ts';
import type { LogEvent, LossReason, SinkEnvironment, SinkTarget, TargetRuntime } from '../sink-type.ts';
import { createMemoryBacklog, linesIn } from './backlog.ts';
import { createDelivery, type Delivery, type RefusedLine, type Wait, waitUnheld } from './delivery.ts';
import type { DeliveryConfig } from './delivery-config.ts';
import { createSpool } from './spool.ts';
import type { Transport } from './transport.ts';

/** Of a sink that is not required and has no spool. */
const memoryBytes = 16 * 1024 * 1024;
/** Read from a backlog at once. */
const readBytes = 1024 * 1024;
/** A protocol without acknowledgements is flushed this long after a record, or once so many bytes wait for it. */
const lingerMs = 1000;
const maxUnflushedBytes = 1024 * 1024;
/** Longest wait of a stop for records that are being delivered. */
const closeMs = 2000;

/** Options of `createDeliveryTarget`. */
export interface DeliveryTargetOptions<C extends DeliveryConfig> {
  readonly config: C;
  /** Distinguishes the sink, for the operator. */
  readonly key: string;
  readonly runtime: TargetRuntime;
  readonly environment: SinkEnvironment;
  /** Creates a transport, which opens nothing yet and cannot fail. */
  readonly transport: (config: C, environment: SinkEnvironment) => Transport;
}

/** Parts of both kinds of targets. */
interface Parts {
  readonly key: string;
  readonly runtime: TargetRuntime;
  readonly delivery: Delivery;
  /** The transport has to be flushed. */
  readonly isFlushed: () => boolean;
  readonly signal: AbortSignal;
  /** Ends deliveries and pauses. */
  readonly abort: () => void;
  /** Reports a record that the receiver refuses for good. Yields its event. */
  readonly refused: (refused: RefusedLine, isKept: boolean) => LogEvent;
  readonly wait: Wait;
}

/** Creates the target of a sink from its transport. */
export function createDeliveryTarget<C extends DeliveryConfig>(options: DeliveryTargetOptions<C>): SinkTarget {
  const { config, key, runtime } = options;
  const { log, observe, random, wait = waitUnheld } = runtime;
  const { type } = config;
  const stop = new AbortController();
  const { signal } = stop;
  const abort = () => stop.abort(new Error('the sink is closed'));
  let transport = options.transport(config, options.environment);
  const current = () => transport;
  const retried = () => observe?.retried?.(type);
  const parts: Parts = {
    ...{ key, runtime, signal, abort, wait },
    delivery: createDelivery({ transport: current, key, log, retried, signal, random, wait }),
    isFlushed: () => transport.flush !== undefined,
    refused({ line, problem }, kept) {
      const record = { seq: seqOf(line), hash: hashOf(line) };
      observe?.lost?.(type, 'refused', 1);
      log.error({ sink: key, record, problem, kept }, 'the receiver refuses an audit record for good');
      return { reason: 'receiver_refused', detail: { sink: key, record, problem, kept } };
    },
  };
  const target = config.required ? createDirectTarget(parts) : createQueuedTarget(parts, config);
  return {
    ...target,
    configure(next, environment) {
      void transport.close().catch(ignore);
      transport = options.transport(next as C, environment);
      target.configure?.(next, environment);
    },
    async close() {
      await target.close();
      abort();
      await transport.close();
    },
  };
}

/** Each write is a delivery. Its lines go out until they are acknowledged, also after their callers were refused. */
function createDirectTarget({ abort, delivery, isFlushed, refused: tell, runtime, signal, wait }: Parts): SinkTarget {
  let head: ChainHead = genesis;
  const found: LogEvent[] = [];
  let unflushed: Buffer[] = [];
  let unflushedBytes = 0;
  let since: number | undefined;

  async function flush(): Promise<void> {
    if (unflushed.length > 0) await delivery.deliver(unflushed, unflushed.length);
    unflushed = [];
    unflushedBytes = 0;
  }

  return {
    prepare: async () => ({ head, events: found.splice(0), rotations: 0 }),
    async write(chained) {
      since = runtime.now();
      if (unflushedBytes > maxUnflushedBytes) await flush();
      const all = [...unflushed, ...linesIn(chained.lines)];
      const refused = await delivery.deliver(all, unflushed.length, false);
      since = undefined;
      head = chained.head;
      if (isFlushed()) {
        unflushed.push(...linesIn(Buffer.from(chained.lines)));
        unflushedBytes += chained.lines.length;
      }
      found.push(...refused.map((each) => tell(each, false)));
      if (refused[0] !== undefined) throw new RecordsRefused(`the receiver refuses a record: ${refused[0].problem}`);
    },
    tick: flush,
    abort,
    delivery: () => ({ bytes: 0, since, problem: delivery.problem() }),
    close: () => Promise.race([flush(), wait(closeMs, signal)]).then(ignore, ignore),
  };
}

/** Each write goes to the backlog, which is delivered in the background. */
function createQueuedTarget(parts: Parts, config: DeliveryConfig): SinkTarget {
  const { abort, delivery, isFlushed, key, refused: tell, runtime, signal, wait } = parts;
  const { log, observe } = runtime;
  const { spool, type } = config;
  const found: LogEvent[] = [];
  const backlog = spool === undefined ? createMemoryBacklog(memoryBytes) : createSpool(spool, { ...runtime, report });
  let since: number | undefined;
  let running: Promise<void> | undefined;
  let wake = ignore;
  let isClosing = false;

  function report(event: LogEvent, lost: number, reason: LossReason = 'corrupt'): void {
    found.push({ ...event, detail: { sink: key, ...event.detail } });
    if (lost > 0) observe?.lost?.(type, reason, lost);
  }

  async function run(): Promise<void> {
    while (!signal.aborted) {
      try {
        if (await deliverNext()) continue;
        if (isClosing) return;
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        if (backlog.bytes() === 0) await promise;
      } catch (error) {
        if (!signal.aborted) await delivery.pause(error).catch(ignore);
      }
    }
  }

  /** False when nothing waits. */
  async function deliverNext(): Promise<boolean> {
    const bytes = backlog.bytes();
    if (isFlushed() && bytes > 0 && bytes < readBytes && !isClosing) await wait(lingerMs, signal);
    const lines = await backlog.next(readBytes);
    if (lines[0] !== undefined) since = timeOf(lines[0]) ?? since;
    else if (backlog.bytes() === 0) since = undefined;
    if (lines.length === 0) return false;
    for (const refused of await delivery.deliver(lines)) {
      found.push(tell(refused, await backlog.setAside(refused.line)));
    }
    await backlog.release();
    return true;
  }

  function start(): void {
    if (backlog.bytes() > 0) since ??= runtime.now();
    running ??= run();
    wake();
  }

  return {
    async prepare() {
      const head = await backlog.open();
      start();
      return { head, events: found.splice(0), rotations: 0 };
    },
    async write({ lines, head }) {
      await backlog.append(lines, head);
      start();
    },
    tick: () => backlog.tick(),
    delivery: () => ({ bytes: backlog.bytes(), since, problem: delivery.problem() }),
    configure: (next: DeliveryConfig) => backlog.resize(next.spool?.bytes ?? memoryBytes),
    async close() {
      isClosing = true;
      wake();
      if (running !== undefined && delivery.problem() === undefined) {
        await Promise.race([running, wait(closeMs, signal)]).catch(ignore);
      }
      abort();
      wake();
      await running;
      await reportLeft();
      await backlog.close();
    },
  };

  async function reportLeft(): Promise<void> {
    const bytes = backlog.bytes();
    if (bytes === 0) return;
    if (spool !== undefined)
      return log.warn({ sink: key, bytes }, 'audit records stay in the spool until the next start');
    const { length: records } = await backlog.next(Number.POSITIVE_INFINITY);
    observe?.lost?.(type, 'stopped', records);
    log.error({ sink: key, records }, 'audit records are lost: the receiver had not acknowledged them at the stop');
  }
}

/** The instant of a record; undefined where it states none. */
function timeOf(line: Buffer): number | undefined {
  const [, time = ''] = /"time":"([^"]{20,30})"/.exec(line.toString('latin1', 0, 1024)) ?? [];
  const parsed = Date.parse(time);
  return Number.isNaN(parsed) ? undefined : parsed;
}

function ignore(): void {}
