// Audit log: each event is encoded once and written to every sink. A request continues when all required sinks have its record.
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../errors.ts';
import { createNamedFiles } from '../named-files.ts';
import { createEventEncoder } from './encode.ts';
import { unavailable } from './errors.ts';
import type { AuditEvent, Priority } from './event.ts';
import { checkHeadState, type StateFinding } from './heads/head-state.ts';
import { createHeads, type Signing } from './heads/heads.ts';
import type { HeadKey } from './heads/signed-head.ts';
import type { AuditRuntime, PreparedSinks, ReconfigurableAuditLog } from './reconfigurable-audit-log.ts';
import type { AuditConfig } from './schema.ts';
import { type ChainWriter, createChainWriter } from './sinks/chain-writer.ts';
import { isPathHeld } from './sinks/file/lock.ts';
import { createSink, type Sink } from './sinks/sink.ts';
import type { LogEvent, SinkEnvironment, SinkTarget } from './sinks/sink-type.ts';
import { type SinkConfig, sinkTypeOf } from './sinks/sink-types.ts';

/** A target of a prepared configuration, and the chain that it continues. */
interface Opened {
  readonly key: string;
  readonly target: SinkTarget;
  readonly writer: ChainWriter;
  /** The error of opening a sink that is not required. */
  readonly openError: unknown;
}

/** A sink in use, with its target, which takes new options. */
interface Mounted extends Pick<Opened, 'key' | 'target'> {
  readonly type: string;
  /** Where the configuration names it. */
  readonly at: string;
  readonly sink: Sink;
  readonly required: boolean;
}

interface State {
  readonly mounted: readonly Mounted[];
  readonly onFailure: AuditConfig['onFailure'];
  readonly timeoutMs: number;
}

/** Creates the log, which refuses every record until the sinks of a configuration are committed. */
export function createAuditLog(runtime: AuditRuntime): ReconfigurableAuditLog {
  const { instance, log, now, recent } = runtime;
  const encode = createEventEncoder(instance);
  let state: State = { mounted: [], onFailure: 'refuse', timeoutMs: 0 };
  /** Sinks that are gone from the configuration, by their key, until they are closed. */
  const closing = new Map<string, Promise<void>>();
  let closed = false;
  const heads = createHeads({ ...runtime, record: (event) => void write(ownEvent(event)).catch(ignore) });

  function write(event: AuditEvent, priority: Priority = 'decision'): Promise<void> {
    const { mounted, onFailure } = state;
    if (mounted.length === 0) return Promise.reject(unavailable(new Error('no sink is open')));
    let body: string;
    try {
      body = encode(event);
    } catch (error) {
      return Promise.reject(unavailable(error));
    }
    recent?.add(event, body);
    const kept = event.stage === 'config';
    const granted = kept || event.stage === 'stream' ? 'completion' : priority;
    const awaited: Promise<void>[] = [];
    for (const { sink, required } of mounted) {
      const appended = sink.append(body, granted, kept);
      if (required) awaited.push(appended);
    }
    const written = awaited.length === 1 ? awaited[0]! : Promise.all(awaited).then(ignore);
    if (onFailure === 'continue') return written.catch(ignore);
    // The caller may ignore the promise; a sink's own is taken care of.
    if (awaited.length > 1) written.catch(ignore);
    return written;
  }

  function ownEvent(event: LogEvent): AuditEvent {
    return { id: randomUUID(), time: now(), stage: 'config', policy: runtime.policy(), ...event };
  }

  /** A record of the log's own. */
  const record = (event: LogEvent): string => encode(ownEvent(event));

  async function prepare(
    next: AuditConfig,
    signal?: AbortSignal,
    headKey?: HeadKey,
    environment: SinkEnvironment = bare,
  ): Promise<PreparedSinks> {
    if (closed) throw new Error('the audit log is closed');
    if (next.sign !== undefined && headKey === undefined) throw new Error('audit.sign.keyFile: the key was not given');
    const signing = next.sign && headKey && { ...next.sign, key: headKey };
    const opened: Opened[] = [];
    const dispose = async () => {
      await Promise.all(opened.map(({ target }) => target.close().catch(ignore)));
    };
    try {
      for (const [index, sink] of next.sinks.entries()) {
        const key = keyOf(sink);
        if (next.sinks.findIndex((each) => keyOf(each) === key) < index) {
          throw new Error(`${placeOf(sink, index)}: another sink writes to ${key}`);
        }
        if (state.mounted.some((each) => each.key === key)) continue;
        await closing.get(key);
        opened.push(await open(sink, placeOf(sink, index), environment, signal));
      }
      const finding = await checkState(signing, opened);
      return { commit: () => commit(next, opened, environment, signing, finding), dispose };
    } catch (error) {
      await dispose();
      throw error;
    }
  }

  /** Holds chains that are opened to the state file; undefined where there is nothing to hold. */
  async function checkState(
    signing: Signing | undefined,
    opened: readonly Opened[],
  ): Promise<StateFinding | undefined> {
    const path = signing?.stateFile;
    if (signing === undefined || path === undefined || (opened.length === 0 && path === heads.signing()?.stateFile))
      return undefined;
    return checkHeadState(
      path,
      opened.map(({ key, target, writer }) => ({ sink: key, target, end: writer.end() })),
      signing.key,
    );
  }

  async function open(
    sink: SinkConfig,
    at: string,
    environment: SinkEnvironment,
    signal: AbortSignal | undefined,
  ): Promise<Opened> {
    const key = keyOf(sink);
    const target = sinkTypeOf(sink).create(sink, { ...runtime, signal }, environment);
    const writer = createChainWriter({ ...runtime, type: sink.type, key, target, record, heads });
    let openError: unknown;
    try {
      await writer.write([]);
    } catch (error) {
      await target.close().catch(ignore);
      if (sink.required || signal?.aborted || (runtime.mustHold === true && isPathHeld(error)))
        throw new Error(`${at}: ${messageOf(error)}`, { cause: error });
      openError = error;
    }
    return { key, target, writer, openError };
  }

  function commit(
    next: AuditConfig,
    opened: readonly Opened[],
    environment: SinkEnvironment,
    signing: Signing | undefined,
    finding: StateFinding | undefined,
  ): void {
    const before = state.mounted;
    const mounted = next.sinks.map((config, index): Mounted => {
      const key = keyOf(config);
      const place = { type: config.type, at: placeOf(config, index), required: config.required };
      const fresh = opened.find((each) => each.key === key);
      if (fresh !== undefined) return { ...fresh, ...place, sink: start(config, fresh, next.timeout) };
      const kept = before.find((each) => each.key === key)!;
      kept.sink.setTimeoutMs(next.timeout);
      kept.target.configure?.(config, environment);
      return { ...kept, ...place };
    });
    state = { mounted, onFailure: next.onFailure, timeoutMs: next.timeout };
    heads.configure(
      signing,
      mounted.map(({ key }) => key),
    );
    for (const truncation of finding?.truncations ?? []) heads.truncated(truncation);
    for (const chain of finding?.unheld ?? []) heads.unheld(chain);
    for (const { key, sink } of before) {
      if (mounted.some((each) => each.key === key)) continue;
      const ending = sink
        .close()
        .catch((error: unknown) => log.error({ sink: key, err: error }, 'audit sink not closed'));
      closing.set(
        key,
        ending.finally(() => closing.delete(key)),
      );
    }
  }

  function start({ type }: SinkConfig, { writer, openError }: Opened, timeoutMs: number): Sink {
    if (openError !== undefined) writer.fail(openError);
    return createSink({ type, writer, timeoutMs, tickMs: runtime.tickMs ?? 1000, observe: runtime.observe });
  }

  return {
    write,
    prepare,
    healthy: () => state.mounted.length > 0 && state.mounted.every(({ required, sink }) => !required || sink.healthy()),
    problem() {
      const failed = state.mounted.find(({ required, sink }) => required && !sink.healthy());
      return failed && `${failed.at}: ${failed.target.delivery?.().problem ?? failed.sink.problem()}`;
    },
    deliveries: () =>
      state.mounted.flatMap(({ key, type, required, target }) => {
        const delivery = target.delivery?.();
        if (delivery === undefined) return [];
        const { bytes, problem, since } = delivery;
        const lagSeconds = since === undefined ? 0 : Math.max(now() - since, 0) / 1000;
        return { sink: key, type, required, bytes, lagSeconds, problem };
      }),
    heads: heads.last,
    truncation: heads.problem,
    async close() {
      closed = true;
      await Promise.all([...state.mounted.map((each) => each.sink.close()), ...closing.values()]);
      // A volume that hangs holds up no stop.
      const settled = new AbortController();
      const late = delay(state.timeoutMs, undefined, { signal: settled.signal }).catch(ignore);
      await Promise.race([heads.settled(), late]);
      settled.abort();
    },
  };
}

/** Without a proxy and named files. */
const bare: SinkEnvironment = {
  egress: { https: undefined, http: undefined, except: [] },
  files: createNamedFiles(new Map()),
};

/** The key of the configuration that an error about a sink names. */
function placeOf(sink: SinkConfig, index: number): string {
  return `audit.sinks[${index}]${'path' in sink ? '.path' : ''}`;
}

function keyOf(sink: SinkConfig): string {
  return sinkTypeOf(sink).key(sink);
}

function ignore(): void {}
