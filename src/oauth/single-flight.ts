// Questions to an authorization server about tokens: one at a time about each, so many in all, and none shortly after an outage.
import { hash } from 'node:crypto';
import { RequestFailure, type RequestFailureReason } from './http-client.ts';

/** Why a question has no answer; a closed list, used as a metric label. */
export type InquiryFailure = RequestFailureReason | 'busy' | 'cooldown';

export interface InquiryOptions<T> {
  /** Asks. Throws a RequestFailure where there is no answer; whatever else it throws is one. */
  ask(token: string): Promise<T>;
  /** Tells of the failure, and makes the error that callers get. `failure` is undefined where nothing was asked. */
  unavailable(reason: InquiryFailure, failure: RequestFailure | undefined): Error;
  /** Milliseconds since 1970. */
  now(): number;
}

/** Waiting ones included. */
const maxUnderWay = 256;
const cooldownMs = 5000;
/** What says that the server is down or too busy. Anything else may be about the one token that was asked about. */
const outageStatuses = new Set([429, 502, 503, 504]);

/** By what a token is known where the token itself must not be kept. */
export function digestOf(token: string): string {
  return hash('sha256', token, 'base64');
}

/** Whoever asks about the same token meanwhile, told by its digest, gets the same answer. */
export function createInquiry<T>(options: InquiryOptions<T>): (digest: string, token: string) => Promise<T> {
  const { ask, unavailable, now } = options;
  const underWay = new Map<string, Promise<T>>();
  let failedAt: number | undefined;

  async function attempt(token: string): Promise<T> {
    try {
      const answer = await ask(token);
      failedAt = undefined;
      return answer;
    } catch (error) {
      if (!(error instanceof RequestFailure)) throw error;
      if (isOutage(error)) failedAt = now();
      throw unavailable(error.reason, error);
    }
  }

  /** A clock that was set back never prolongs the cooldown. */
  function coolingDown(): boolean {
    const since = failedAt === undefined ? cooldownMs : now() - failedAt;
    return since >= 0 && since < cooldownMs;
  }

  return async (digest, token) => {
    const asked = underWay.get(digest);
    if (asked !== undefined) return asked;
    if (coolingDown()) throw unavailable('cooldown', undefined);
    if (underWay.size >= maxUnderWay) throw unavailable('busy', undefined);
    const answer = attempt(token).finally(() => underWay.delete(digest));
    underWay.set(digest, answer);
    return answer;
  };
}

function isOutage({ reason, status }: RequestFailure): boolean {
  return reason === 'connection' || reason === 'timeout' || (status !== undefined && outageStatuses.has(status));
}
