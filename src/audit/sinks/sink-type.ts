// Contract of a sink type: its configuration, its checks, and the target that takes the bytes.
import * as z from 'zod';
import type { Log } from '../../log.ts';
import type { NamedFiles } from '../../named-files.ts';
import type { Egress } from '../../oauth/egress.ts';
import type { AuditEvent } from '../event.ts';
import type { ChainedLines, ChainHead, Link } from '../hash-chain.ts';
import type { DeliveryState, Wait } from './delivery/delivery.ts';
import type { FileCalls } from './file/append-file.ts';

/** Keys of every sink. */
export const commonKeys = {
  required: z.boolean().default(true).describe('A failure of this sink counts.'),
};

/** The configuration that every sink has. */
export interface CommonSinkConfig {
  readonly type: string;
  readonly required: boolean;
}

/** One row of `sinkTypes`. */
export interface SinkType<C extends CommonSinkConfig> {
  readonly schema: z.ZodType<C>;
  /** Names what it writes to: no two sinks write to the same. */
  key(config: C): string;
  check?(config: C, check: SinkCheck): void;
  /** Asks the receiver, without a record. Yields what it found; throws an Error for the operator where records could not be delivered. */
  probe?(config: C, environment: SinkEnvironment): Promise<string>;
  /** A target that is not open yet. */
  create(config: C, runtime: TargetRuntime, environment: SinkEnvironment): SinkTarget;
}

/** The parts of a configuration that receivers elsewhere are reached by. */
export interface SinkEnvironment {
  readonly egress: Egress;
  /** Holds the certificates that the section names. */
  readonly files: NamedFiles;
}

/** The configuration as the check of one sink sees it. */
export interface SinkCheck {
  readonly files: NamedFiles;
  /** True when the configuration reads this file. */
  isRead(path: string): boolean;
  error(key: string, message: string): void;
  /** Reports a file that cannot be used. */
  unusable(key: string, path: string, cause: Error): void;
  warn(key: string, message: string): void;
}

/** Takes the lines of the stdout sink. */
export interface LineOutput {
  /** Finishes what has begun, and gives the head of the chain. */
  prepare(): Promise<ChainHead>;
  /** Writes all of the lines or throws; after a failure `prepare` says where the chain is. */
  write(chained: ChainedLines): Promise<void>;
  close(): void;
}

/** Dependencies of a target. */
export interface TargetRuntime {
  readonly now: () => number;
  readonly log: Log;
  /** Of this package, for receivers. */
  readonly version?: string | undefined;
  readonly files?: FileCalls | undefined;
  /** Takes the lines of the stdout sink, in place of the descriptor. */
  readonly stdout?: LineOutput | undefined;
  /** The descriptor of the stdout sink. Default 1. */
  readonly stdoutFd?: number | undefined;
  /** Ends the first opening where that has to wait. */
  readonly signal?: AbortSignal | undefined;
  readonly observe?: Partial<DeliveryObserver> | undefined;
  /** Jitter of deliveries, from 0 to 1; the system's by default. */
  readonly random?: (() => number) | undefined;
  /** Timer of deliveries; the system's by default. */
  readonly wait?: Wait | undefined;
}

/** Called by deliveries; `sink` is the sink's type. */
export interface DeliveryObserver {
  /** A batch is tried again. */
  retried(sink: string): void;
  /** Records that were written will not be delivered. */
  lost(sink: string, reason: LossReason, records: number): void;
}

/** `refused` by the receiver for good, `corrupt` in the spool or `removed` from it, `stopped` with the process that held them in memory. */
export type LossReason = 'refused' | 'corrupt' | 'removed' | 'stopped';

/** The members that tell a record of the log's own from others. */
export type LogEvent = Partial<AuditEvent>;

/** A target that is open. */
export interface Prepared {
  /** Of the chain there. */
  readonly head: ChainHead;
  /** Events of the opening that have to be recorded. Each is yielded once. */
  readonly events: readonly LogEvent[];
  /** Grows with each rotation. */
  readonly rotations: number;
}

/**
 * Takes the bytes of whole lines and knows the head of the chain that they end in. One method is called at a time and
 * waited for, so a target never overlaps with itself.
 */
export interface SinkTarget {
  /** Called before each write. Opens what is not open and repairs its end. */
  prepare(): Promise<Prepared>;
  /**
   * Writes all of the lines or throws; a RecordsRefused where the receiver refuses some for good and has all others. After any other a failure the chain is where the next `prepare` says: where it was, or behind
   * lines of which a part had got out and which `prepare` has finished. The bytes may be overwritten once this returns.
   */
  write(chained: ChainedLines): Promise<void>;
  /** Housekeeping, about once a second; throws when the target turns out to be broken. `record` resolves when the event is written. */
  tick(record: (event: LogEvent) => Promise<void>): Promise<void>;
  /** The hash of the record with this number, of those that an earlier process wrote; without it the chain does not outlive the process. */
  hashAt?(seq: number): Promise<string | undefined>;
  /** True where retention deleted that record and all before those that are left, as a record states that `isProved` accepts. */
  isDeleted?(seq: number, isProved: (link: Link) => boolean): Promise<boolean>;
  /** Resolves when all that was written is on the disk, or will be as far as the options say. May be called during a write. */
  sync?(): Promise<void>;
  /** Takes over other options; what it writes to stays. */
  configure?(config: CommonSinkConfig, environment: SinkEnvironment): void;
  /** Ends the call that is out, which then throws. */
  abort?(): void;
  /** Of a target that delivers elsewhere. */
  delivery?(): DeliveryState;
  close(): Promise<void>;
}
