// Single flight of token requests to an authorization server: one at a time for each token, bounded, none shortly after an outage.
import { hash } from 'node:crypto';
import { RequestFailure, type RequestFailureReason } from './http-client.ts';

/** Reasons of a missing answer: a closed list, for a metric label. */
export type SingleFlightFailure = RequestFailureReason | 'busy' | 'cooldown';

/** Options of `createSingleFlight`. */
export interface SingleFlightOptions<T> {
  /** Sends one request. A RequestFailure that it throws means that there is no answer; any other error is the answer. */
  send(token: string): Promise<T>;
  /** Reports a failure, and makes the error for callers. `failure` is undefined where nothing was sent. */
  unavailable(reason: SingleFlightFailure, failure: RequestFailure | undefined): Error;
  /** Milliseconds since 1970. */
  now(): number;
}

/** Waiting ones included. */
const maxInFlight = 256;
const cooldownMs = 5000;
/** Statuses of a server that is down or too busy. Any other may be about the one token. */
const outageStatuses = new Set([429, 502, 503, 504]);

/** The key of a token where the token itself must not be kept. */
export function digestOf(token: string): string {
  return hash('sha256', token, 'base64');
}

/** Creates the function that sends. Callers with the same digest while a request is in flight get its answer. */
export function createSingleFlight<T>(options: SingleFlightOptions<T>): (digest: string, token: string) => Promise<T> {
  const { send, unavailable, now } = options;
  const inFlight = new Map<string, Promise<T>>();
  let failedAt: number | undefined;

  async function attempt(token: string): Promise<T> {
    try {
      const answer = await send(token);
      failedAt = undefined;
      return answer;
    } catch (error) {
      if (!(error instanceof RequestFailure)) throw error;
      if (isOutage(error)) failedAt = now();
      throw unavailable(error.reason, error);
    }
  }

  return async (digest, token) => {
    const sent = inFlight.get(digest);
    if (sent !== undefined) return sent;
    if (isCoolingDown(failedAt, cooldownMs, now())) throw unavailable('cooldown', undefined);
    if (inFlight.size >= maxInFlight) throw unavailable('busy', undefined);
    const answer = attempt(token).finally(() => inFlight.delete(digest));
    inFlight.set(digest, answer);
    return answer;
  };
}

function isOutage({ reason, status }: RequestFailure): boolean {
  return reason === 'connection' || reason === 'timeout' || (status !== undefined && outageStatuses.has(status));
}

/** Within `cooldownMs` after `since`. A clock that was set back never prolongs it. */
export function isCoolingDown(since: number | undefined, cooldownMs: number, nowMs: number): boolean {
  return since !== undefined && nowMs >= since && nowMs - since < cooldownMs;
}
