// Table of the audit sink types, by their `type` in the configuration.
import type { z } from 'zod';
import { fileSink } from './file/file-sink.ts';
import { httpSink } from './http/http-sink.ts';
import { otlpSink } from './otlp/otlp-sink.ts';
import type { CommonSinkConfig, SinkType } from './sink-type.ts';
import { stdoutSink } from './stdout-sink.ts';
import { syslogSink } from './syslog/syslog-sink.ts';

/** The sink types. A new type is a file in this folder and a row here. */
export const sinkTypes = {
  file: fileSink,
  http: httpSink,
  otlp: otlpSink,
  stdout: stdoutSink,
  syslog: syslogSink,
} satisfies Record<string, SinkType<CommonSinkConfig>>;

/** One entry of `audit.sinks`. */
export type SinkConfig = z.output<(typeof sinkTypes)[keyof typeof sinkTypes]['schema']>;

/** The row of a configured sink. */
export function sinkTypeOf(config: SinkConfig): SinkType<SinkConfig> {
  return sinkTypes[config.type];
}
