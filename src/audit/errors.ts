// Errors of requests that could not be recorded.
import { GatewayError, overloadedBy } from '../errors.ts';

/** The receiver of a sink refuses some records of a write for good and has all others: the chain goes on behind them, and the sink works. */
export class RecordsRefused extends Error {}

/** For the callers of lines that found no room. */
export const overloaded = overloadedBy(
  'audit_queue',
  'More requests come than can be recorded, so this one was not carried out. Try again later.',
);

/** For the callers of lines that were not written. */
export function unavailable(cause: unknown): GatewayError {
  return new GatewayError(
    'audit_unavailable',
    'The request could not be recorded, so it was not carried out. Try again later.',
    { reason: 'audit', cause, headers: { 'retry-after': '1' } },
  );
}
