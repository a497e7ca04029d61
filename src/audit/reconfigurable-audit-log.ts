// Contract of the audit log of a gateway: sinks of another configuration are opened beside those in use, then committed or disposed of.

import type { AuditLog } from './event.ts';
import type { HeadObserver } from './heads/heads.ts';
import type { HeadKey } from './heads/signed-head.ts';
import type { RecentRecords } from './recent/recent-records.ts';
import type { AuditConfig } from './schema.ts';
import type { AuditObserver } from './sinks/chain-writer.ts';
import type { DeliveryObserver, SinkEnvironment, TargetRuntime } from './sinks/sink-type.ts';

/** Dependencies of the log. */
export interface AuditRuntime extends Omit<TargetRuntime, 'signal'> {
  /** The name of this gateway process in its records. */
  readonly instance: string;
  /** Hash of the live configuration, for the log's own records. */
  readonly policy: () => string;
  readonly observe?: AuditObserver & Partial<HeadObserver & DeliveryObserver>;
  /** Takes each record as it is encoded, also one that no sink will have. */
  readonly recent?: Pick<RecentRecords, 'add'> | undefined;
  /** A path that another process writes to ends the opening, also that of a sink that is not required. Default false. */
  readonly mustHold?: boolean | undefined;
  /** Interval of housekeeping and of retries of failed sinks. Default a second. */
  readonly tickMs?: number;
}

/** Sinks of another configuration, open and not yet in use. Exactly one of the two is called. */
export interface PreparedSinks {
  /** Puts them into use; cannot fail. Sinks that stay keep their chain, others are flushed and closed. */
  commit(): void;
  /** Closes what was opened for it. */
  dispose(): Promise<void>;
}

/** The audit log of a gateway whose configuration may change. */
export interface ReconfigurableAuditLog extends AuditLog {
  /**
   * Opens what a configuration needs beside the sinks in use, which stay as they are. Throws an error that names the key when a required sink
   * cannot be opened, or when `signal` is aborted; then nothing is left open. A sink with `required: false` is tried again in the background.
   * `headKey` is the key of `audit.sign`. Chains that are opened are held to the heads in the state file.
   */
  prepare(
    config: AuditConfig,
    signal?: AbortSignal,
    headKey?: HeadKey,
    environment?: SinkEnvironment,
  ): Promise<PreparedSinks>;
  /** The reason for which a required sink takes no records, with its key; undefined while all do. */
  problem(): string | undefined;
}
