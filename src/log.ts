// Operator's log: pino on stderr. Audit records never go here.
import { destination, type Logger, pino } from 'pino';

/** The operator's log. */
export type Log = Logger;

/** Creates the log. A closed or full stderr loses log lines but never stops the gateway. */
export function createLog(options: { level?: string; fd?: number } = {}): Log {
  const stream = destination({ fd: options.fd ?? 2, sync: true });
  stream.on('error', () => {});
  return pino({ level: options.level ?? 'info', base: null, timestamp: pino.stdTimeFunctions.isoTime }, stream);
}
