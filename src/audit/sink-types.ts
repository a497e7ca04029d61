// The types of audit sinks by the name that a configuration gives them.
import type { z } from 'zod';
import { fileSink } from './file/file-sink.ts';
import type { CommonSinkConfig, SinkType } from './sink-type.ts';
import { stdoutSink } from './stdout-sink.ts';

export const sinkTypes = { file: fileSink, stdout: stdoutSink } satisfies Record<string, SinkType<CommonSinkConfig>>;

/** One entry of `audit.sinks`. */
export type SinkConfig = z.output<(typeof sinkTypes)[keyof typeof sinkTypes]['schema']>;

export function sinkTypeOf(config: SinkConfig): SinkType<SinkConfig> {
  return sinkTypes[config.type];
}
