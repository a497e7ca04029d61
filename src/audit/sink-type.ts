// The contract of a sink type: its configuration, its checks, and the target that it writes to.
import { z } from 'zod';
import type { Log } from '../log.ts';
import type { AuditEvent } from './event.ts';
import type { FileCalls } from './file/append-file.ts';
import type { SinkTarget } from './sink.ts';

/** Keys of every sink. */
export const commonKeys = {
  required: z.boolean().default(true).describe('Whether a failure of this sink counts.'),
};

export interface CommonSinkConfig {
  readonly type: string;
  readonly required: boolean;
}

export interface TargetRuntime {
  /** Encodes a record of the log's own: what was repaired, rotated away, found unfinished. */
  readonly record: (event: Partial<AuditEvent>) => string;
  readonly now: () => number;
  readonly log: Log;
  readonly files?: FileCalls | undefined;
  /** The descriptor of the stdout sink. Default 1. */
  readonly stdoutFd?: number | undefined;
  /** Ends the first opening where that has to wait. */
  readonly signal?: AbortSignal | undefined;
}

/** What the check of one sink may ask and say. */
export interface SinkCheck {
  /** Whether the configuration reads this file. */
  isRead(path: string): boolean;
  error(key: string, message: string): void;
}

export interface SinkType<C extends CommonSinkConfig> {
  readonly schema: z.ZodType<C>;
  /** Names what it writes to: no two sinks write to the same. */
  key(config: C): string;
  check?(config: C, check: SinkCheck): void;
  create(config: C, runtime: TargetRuntime): SinkTarget;
}
