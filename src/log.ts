// Operator's log: pino on stderr, as JSON lines, in the Elastic Common Schema (ECS), or as text for people. Audit records never go here.
import { createRequire } from 'node:module';
import { type DestinationStream, destination, type Logger, type LoggerOptions, pino } from 'pino';
import type pinoPretty from 'pino-pretty';

const require = createRequire(import.meta.url);

/** The operator's log. */
export type Log = Logger;

/** The form of a line. */
export type LogFormat = 'json' | 'ecs' | 'pretty';

/** Options of `createLog`. */
export interface LogOptions {
  readonly level?: string;
  readonly fd?: number;
  readonly format?: LogFormat;
  /** Colours, of `pretty` alone. */
  readonly colour?: boolean;
  /** True for messages that are shown elsewhere. */
  readonly hides?: (message: string) => boolean;
}

/**
 * Creates the log. A closed or full stderr loses log lines but never stops the gateway. `pretty` throws an Error of one line where its package is not
 * installed.
 */
export function createLog({ level = 'info', fd = 2, format = 'json', colour = false, hides }: LogOptions = {}): Log {
  const stream = destination({ fd, sync: true });
  stream.on('error', () => {});
  const options = format === 'ecs' ? ecsOptions : jsonOptions;
  const hooks: LoggerOptions['hooks'] = hides && {
    logMethod(given, write) {
      if (!given.some((part) => typeof part === 'string' && hides(part))) write.apply(this, given);
    },
  };
  return pino(
    { ...options, level, ...(hooks && { hooks }) },
    format === 'pretty' ? prettyStream(stream, colour) : stream,
  );
}

const jsonOptions: LoggerOptions = {
  base: null,
  timestamp: pino.stdTimeFunctions.isoTime,
  formatters: { level: (level) => ({ level }) },
};

/** ECS 8.11, in the form of Elastic's ECS loggers. The object `portcullis` has the members without a field there. */
const ecsOptions: LoggerOptions = {
  base: { 'ecs.version': '8.11.0', 'service.name': 'portcullis' },
  messageKey: 'message',
  timestamp: () => `,"@timestamp":"${new Date().toISOString()}"`,
  formatters: {
    level: (level) => ({ 'log.level': level }),
    log: ecsFields,
  },
};

/** The name of a request's id in the lines of a log. */
export function requestIdLabel(log: Log): string {
  return 'ecs.version' in log.bindings() ? 'http.request.id' : 'id';
}

function ecsFields({ err, traceId, ...own }: Record<string, unknown>): Record<string, unknown> {
  const error = err === undefined ? undefined : pino.stdSerializers.err(err as Error);
  return {
    ...(error && {
      'error.type': error.type,
      'error.message': error.message ?? String(err),
      'error.stack_trace': error.stack,
    }),
    ...(traceId !== undefined && { 'trace.id': traceId }),
    ...(Object.keys(own).length > 0 && { portcullis: own }),
  };
}

function prettyStream(stream: DestinationStream, colorize: boolean): DestinationStream {
  const { prettyFactory } = loadPretty();
  const format = prettyFactory({ colorize, translateTime: 'SYS:HH:MM:ss.l', messageKey: 'msg' });
  return { write: (line) => stream.write(format(JSON.parse(line, escapeControls))) };
}

/** Text of callers is shown on a terminal. A stack alone has lines. */
function escapeControls(key: string, value: unknown): unknown {
  if (typeof value !== 'string') return value;
  return value.replace(controls, (unit) =>
    key === 'stack' && unit === '\n' ? unit : `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Characters that a terminal acts on: controls, line separators, bidirectional controls. */
const controls = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/gu;

function loadPretty(): typeof pinoPretty {
  try {
    return require('pino-pretty') as typeof pinoPretty;
  } catch (cause) {
    throw new Error('the log format pretty needs pino-pretty, which this installation leaves out: --log-format json', {
      cause,
    });
  }
}
