// Membership of a worker in the state that all have together, on its side of the channel to the supervisor.
import type { Gateway } from '../../gateway/gateway.ts';
import type { Siblings } from '../../gateway/siblings.ts';
import { createLimitShares, type ShareHolder } from '../../limit-share.ts';
import type { SharedState } from '../../state/shared-state.ts';
import type { Channel } from '../channel.ts';
import { createChannelState } from './channel-state.ts';
import { after, type CommonsCalls, type MemberCalls } from './commons.ts';
import { type AssertionNeeds, openOwnKeys } from './own-keys.ts';

/** The membership of one worker. */
export interface Membership {
  readonly siblings: Siblings;
  /** The state of all workers, in the memory of their supervisor. */
  readonly state: SharedState;
  /** Fetches the keys that a configuration needs. Called before it is prepared. */
  fetchKeys(config: AssertionNeeds): Promise<void>;
  /** Tells the others from now on which requests are under way here, and takes what they revoke. */
  answer(gateway: Pick<Gateway, 'isPending' | 'parts'>): void;
  close(): void;
}

/** Interval in which unused parts of limits are given back. */
const sweepMs = 5000;

/** Opens it for the worker of a place. */
export function openMembership(
  holder: ShareHolder,
  rootKey: Uint8Array,
  channel: Channel<CommonsCalls, MemberCalls>,
): Membership {
  const send = (message: CommonsCalls['limit'][0]) => channel.tell('limit', message);
  const shares = createLimitShares({ holder, send, now: () => performance.now(), after });
  channel.answer('limit', (message) => void shares.receive(message));
  const sweeping = setInterval(shares.sweep, sweepMs).unref();
  const keys = openOwnKeys(rootKey, (algorithm) => channel.ask('assertionKey', algorithm));
  return {
    siblings: {
      limitShares: shares,
      keys,
      isPending: (request) => channel.ask('isPending', request).catch(() => false),
      revoke: (revocation) => channel.ask('revoke', revocation),
    },
    state: createChannelState(channel),
    fetchKeys: keys.fetch,
    answer({ isPending, parts }) {
      channel.answer('isPending', isPending);
      channel.answer('revocations', (next) => void parts.revocations.setTemporary(next));
    },
    close: () => clearInterval(sweeping),
  };
}
