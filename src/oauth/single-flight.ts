// Single flight of token requests to an authorization server: one for each token, a share for each caller, none after an outage.
import { hash } from 'node:crypto';
import { createFairQueue, type FairQueueLimits } from './fair-queue.ts';
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

/** A token, and who shows it. */
export interface Flight {
  readonly digest: string;
  readonly token: string;
  readonly caller: string;
  /** The token was good before: it goes first. */
  readonly known: boolean;
}

/** Requests at the same time, to one authorization server. */
export const maxConnections = 32;
const limits: FairQueueLimits = {
  running: maxConnections,
  perLane: 24,
  perCaller: 16,
  waiting: 2048,
  waitingPerCaller: 512,
};
const maxWaitMs = 5000;
const cooldownMs = 5000;
/** Statuses of a server that is down or too busy. Any other may be about the one token. */
const outageStatuses = new Set([429, 502, 503, 504]);

/** The key of a token where the token itself must not be kept. */
export function digestOf(token: string): string {
  return hash('sha256', token, 'base64');
}

/** Creates the function that sends. Callers with the same digest while a request is in flight get its answer. */
export function createSingleFlight<T>(options: SingleFlightOptions<T>): (flight: Flight) => Promise<T> {
  const { send, unavailable, now } = options;
  const queue = createFairQueue(limits);
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

  async function takeTurn(token: string, since: number): Promise<T> {
    if (isCoolingDown(failedAt, cooldownMs, now())) throw unavailable('cooldown', undefined);
    if (now() - since > maxWaitMs) throw unavailable('busy', undefined);
    return attempt(token);
  }

  function enqueue({ token, caller, known }: Flight): Promise<T> {
    const since = now();
    return new Promise((resolve, reject) => {
      const start = () => {
        const answer = takeTurn(token, since);
        resolve(answer);
        return answer.catch(() => {});
      };
      if (!queue.add(caller, known, start)) reject(unavailable('busy', undefined));
    });
  }

  return async (flight) => {
    const sent = inFlight.get(flight.digest);
    if (sent !== undefined) return sent;
    if (isCoolingDown(failedAt, cooldownMs, now())) throw unavailable('cooldown', undefined);
    const answer = enqueue(flight).finally(() => inFlight.delete(flight.digest));
    inFlight.set(flight.digest, answer);
    return answer;
  };
}

function isOutage({ reason, status }: RequestFailure): boolean {
  return ['connection', 'proxy', 'timeout'].includes(reason) || (status !== undefined && outageStatuses.has(status));
}

/** Within `cooldownMs` after `since`. A clock that was set back never prolongs it. */
export function isCoolingDown(since: number | undefined, cooldownMs: number, nowMs: number): boolean {
  return since !== undefined && nowMs >= since && nowMs - since < cooldownMs;
}
