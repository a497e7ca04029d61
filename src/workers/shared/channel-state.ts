// Shared state of the workers of one supervisor, which keeps it in its memory.
import { createBoundedCache } from '../../bounded-cache.ts';
import { GatewayError } from '../../errors.ts';
import { StateFailure, type StateOutcome } from '../../state/redis/failure.ts';
import type { SharedState } from '../../state/shared-state.ts';
import { type Channel, ChannelError } from '../channel.ts';
import type { CommonsCalls } from './commons.ts';

/** Time in which the supervisor has to answer. The channel bounds the number of questions. */
const answerTimeoutMs = 1000;
/** Time for which a secret is not asked for again. */
const keepSecretMs = 60_000;
const maxSecrets = 64;

/** Opens the state. A supervisor that does not answer in time, or has too much to answer, is GatewayError `state_unavailable`. */
export function createChannelState(channel: Pick<Channel<CommonsCalls, never>, 'ask'>): SharedState {
  const secrets = createBoundedCache<{ readonly key: Buffer; readonly until: number }>({ entries: maxSecrets });

  async function ask<N extends 'claim' | 'consume' | 'giveBack' | 'secret'>(
    name: N,
    body: CommonsCalls[N][0],
  ): Promise<CommonsCalls[N][1]> {
    try {
      return await channel.ask(name, body, { timeoutMs: answerTimeoutMs });
    } catch (cause) {
      throw unavailable(cause);
    }
  }

  return {
    claim: (...claim) => ask('claim', claim),
    limiter: (name, size) => ({
      consume: (key, holder, origin) => ask('consume', { name, size, key, holder, origin }),
      giveBack: (key, holder, origin) => ask('giveBack', { name, size, key, holder, origin }),
    }),
    async secret(name, keepMs) {
      const known = secrets.get(name);
      if (known !== undefined && performance.now() < known.until) return known.key;
      const key = Buffer.from(await ask('secret', [name, keepMs]));
      secrets.set(name, { key, until: performance.now() + Math.min(keepMs, keepSecretMs) });
      return key;
    },
  };
}

const outcomes: Readonly<Record<ChannelError['reason'], StateOutcome>> = {
  closed: 'unreachable',
  timeout: 'timeout',
  full: 'busy',
};

function unavailable(cause: unknown): GatewayError {
  const outcome = cause instanceof ChannelError ? outcomes[cause.reason] : 'refused';
  return new GatewayError(
    'state_unavailable',
    'The gateway cannot look up what this request needs. Try again in a moment.',
    {
      reason: 'supervisor',
      headers: { 'retry-after': '1' },
      detail: { state: { problem: outcome } },
      cause: new StateFailure(outcome, cause),
    },
  );
}
