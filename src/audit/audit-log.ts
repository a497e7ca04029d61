// The audit log: one event to every sink, and the answer whether all required ones have it.
import { randomUUID } from 'node:crypto';
import { GatewayError } from '../errors.ts';
import type { Log } from '../log.ts';
import { createEventEncoder } from './encode.ts';
import type { AuditEvent, AuditLog, Urgency } from './event.ts';
import type { FileCalls } from './file/append-file.ts';
import type { FileTarget } from './file/file-sink.ts';
import type { AuditConfig } from './schema.ts';
import { type AuditObserver, createSink, type Sink, type SinkTarget } from './sink.ts';
import { type SinkConfig, sinkTypeOf } from './sink-types.ts';

export interface AuditRuntime {
  /** The name of this gateway process in its records. */
  readonly instance: string;
  /** Hash of the live configuration, for the log's own records. */
  readonly policy: () => string;
  readonly log: Log;
  readonly now: () => number;
  readonly observe?: AuditObserver;
  /** How often sinks do their housekeeping and failed ones are tried again. Default a second. */
  readonly tickMs?: number;
  /** The descriptor of the stdout sink. Default 1. */
  readonly stdoutFd?: number;
  readonly files?: FileCalls;
}

export interface ReconfigurableAuditLog extends AuditLog {
  /**
   * Goes over to another configuration: new sinks are opened first, and when one cannot be opened this throws and all
   * stays as it was; sinks that stay keep their chain; those that go are written out and closed.
   */
  reconfigure(config: AuditConfig): Promise<void>;
}

/** One sink in use, and how to give it new options. */
interface Mounted {
  readonly key: string;
  readonly sink: Sink;
  readonly target: SinkTarget | FileTarget;
  readonly required: boolean;
}

interface State {
  readonly mounted: readonly Mounted[];
  readonly required: readonly Sink[];
  readonly optional: readonly Sink[];
  readonly onFailure: AuditConfig['onFailure'];
}

/**
 * Opens every sink. Throws an error for the operator when a required one cannot be opened; one with `required: false`
 * is tried again in the background.
 */
export async function createAuditLog(config: AuditConfig, runtime: AuditRuntime): Promise<ReconfigurableAuditLog> {
  const { instance, log, now } = runtime;
  const encode = createEventEncoder(instance);
  let state = await mountAll(config, []);
  let closed = false;

  function write(event: AuditEvent, urgency: Urgency = 'now'): Promise<void> {
    const { required, optional, onFailure } = state;
    let body: string;
    try {
      body = encode(event);
    } catch (error) {
      return Promise.reject(
        new GatewayError('audit_unavailable', 'The request could not be recorded.', { cause: error }),
      );
    }
    for (const sink of optional) sink.append(body, urgency);
    const written =
      required.length === 1 && required[0] !== undefined
        ? required[0].append(body, urgency)
        : Promise.all(required.map((sink) => sink.append(body, urgency))).then(ignore);
    if (onFailure === 'continue') return written.catch(ignore);
    if (required.length !== 1) written.catch(ignore);
    return written;
  }

  /** A record of the log's own. */
  function record(event: Partial<AuditEvent>): string {
    return encode({ id: randomUUID(), time: now(), stage: 'config', policy: runtime.policy(), ...event });
  }

  async function mountAll(next: AuditConfig, old: readonly Mounted[]): Promise<State> {
    const mounted: Mounted[] = [];
    try {
      for (const sink of next.sinks) {
        const key = keyOf(sink);
        if (mounted.some((each) => each.key === key)) throw new Error(`audit: two sinks write to ${key}`);
        const kept = old.find((each) => each.key === key);
        mounted.push(kept === undefined ? await mount(sink, next, key) : { ...kept, required: sink.required });
      }
    } catch (error) {
      const fresh = mounted.filter((each) => !old.some((one) => one.key === each.key));
      await Promise.all(fresh.map((each) => each.sink.close()));
      throw error;
    }
    return {
      mounted,
      required: mounted.filter((each) => each.required).map((each) => each.sink),
      optional: mounted.filter((each) => !each.required).map((each) => each.sink),
      onFailure: next.onFailure,
    };
  }

  async function mount(sink: SinkConfig, next: AuditConfig, key: string): Promise<Mounted> {
    const target = sinkTypeOf(sink).create(sink, { ...runtime, record });
    let openError: unknown;
    try {
      await target.open();
    } catch (error) {
      await target.close().catch(ignore);
      if (sink.required)
        throw new Error(`audit: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
      openError = error;
    }
    const options = {
      name: sink.type,
      label: key,
      target,
      timeoutMs: next.timeout,
      tickMs: runtime.tickMs ?? 1000,
      recoveryRecord: (missed: number, since: number) =>
        record({ reason: 'recovered', detail: { sink: key, missed, since: new Date(since).toISOString() } }),
      now,
      log,
      observe: runtime.observe,
    };
    return { key, sink: createSink(options, openError), target, required: sink.required };
  }

  async function reconfigure(next: AuditConfig): Promise<void> {
    if (closed) throw new Error('the audit log is closed');
    const before = state.mounted;
    state = await mountAll(next, before);
    for (const { key, sink, target } of state.mounted) {
      sink.setTimeoutMs(next.timeout);
      const options = next.sinks.find((each) => keyOf(each) === key);
      if ('configure' in target && options?.type === 'file') target.configure(options);
    }
    const gone = before.filter((each) => !state.mounted.some((one) => one.key === each.key));
    await Promise.all(gone.map((each) => each.sink.close()));
  }

  return {
    write,
    healthy: () => state.required.every((sink) => sink.healthy()),
    reconfigure,
    async close() {
      closed = true;
      await Promise.all(state.mounted.map((each) => each.sink.close()));
    },
  };
}

function keyOf(sink: SinkConfig): string {
  return sinkTypeOf(sink).key(sink);
}

function ignore(): void {}
