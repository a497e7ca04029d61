// Shared state whose failures are told as those of a server of replicas are: each is counted, three in succession begin an outage.
import { GatewayError } from '../errors.ts';
import { StateFailure } from './redis/failure.ts';
import type { SharedState } from './shared-state.ts';
import type { StateObserver } from './switched-state.ts';

/** Failures in succession that begin an outage. */
const maxFailures = 3;

/** Watches a state that cannot be asked now and then: its errors are GatewayErrors of a StateFailure. */
export function watchState(state: SharedState, observe: StateObserver): SharedState {
  let failures = 0;

  function failed(error: unknown): never {
    const failure = error instanceof GatewayError ? error.cause : undefined;
    if (failure instanceof StateFailure) {
      observe.stateFailed(failure.outcome);
      failures += 1;
      if (failures === maxFailures) observe.stateChanged({ onFailure: 'refuse', failure });
    }
    throw error;
  }

  async function watch<T>(asked: Promise<T>): Promise<T> {
    const answer = await asked.catch(failed);
    if (failures >= maxFailures) observe.stateChanged(undefined);
    failures = 0;
    return answer;
  }

  return {
    claim: (...claim) => watch(state.claim(...claim)),
    // One that is remembered is no answer.
    secret: (...secret) => state.secret(...secret).catch(failed),
    limiter(name, size) {
      const limiter = state.limiter(name, size);
      return {
        consume: (...call) => watch(limiter.consume(...call)),
        giveBack: (...call) => watch(limiter.giveBack(...call)),
      };
    },
  };
}
