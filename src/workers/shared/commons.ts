// State that the workers of a supervisor have together, on its side of the channels: limits, keys, claims, revocations, pending requests.
import { addTemporary, inForceAt, type TemporaryRevocation } from '../../authn/caller/temporary-revocations.ts';
import type { PendingRequest, RevocationSpread } from '../../gateway/siblings.ts';
import type { LedgerMessage, ShareMessage } from '../../limit-share.ts';
import type { Claim, Consumption, KeyOrigin, LimitSize, SharedState } from '../../state/shared-state.ts';
import type { AssertionAlgorithm } from '../../upstream/identity/facts.ts';
import type { Channel } from '../channel.ts';
import { createLimitLedger } from './limit-ledger.ts';
import { createOwnKeys } from './own-keys.ts';

/** A call that takes from a limit. */
export interface CountedCall {
  readonly name: string;
  readonly size: LimitSize;
  readonly key: string;
  readonly holder: string;
  readonly origin: KeyOrigin;
}

/** Calls of a worker about what it shares. */
export interface CommonsCalls {
  readonly limit: readonly [LedgerMessage, undefined];
  readonly assertionKey: readonly [AssertionAlgorithm, pem: string];
  readonly claim: readonly [Parameters<SharedState['claim']>, Claim];
  readonly consume: readonly [CountedCall, Consumption];
  readonly giveBack: readonly [CountedCall, undefined];
  readonly secret: readonly [Parameters<SharedState['secret']>, Uint8Array];
  /** True if another worker has it. */
  readonly isPending: readonly [PendingRequest, boolean];
  /** Answered when every worker has it, or is late. */
  readonly revoke: readonly [TemporaryRevocation, RevocationSpread];
}

/** Calls of the supervisor about it. */
export interface MemberCalls {
  readonly limit: readonly [ShareMessage, undefined];
  /** True if this worker has it. */
  readonly isPending: readonly [PendingRequest, boolean];
  /** All temporary revocations, in place of those before. */
  readonly revocations: readonly [readonly TemporaryRevocation[], undefined];
}

type ToMember = Channel<MemberCalls, CommonsCalls>;

/** State that the workers have together. */
export interface Commons {
  /** The secret that a worker is started with; see `openOwnKeys`. */
  readonly rootKey: Uint8Array;
  /** Answers a worker from its start on. */
  answer(channel: ToMember): void;
  /** Gives a worker that is about to serve its part of the limits. The returned function takes back what it has; called when its process has ended. */
  join(number: number, channel: ToMember): () => void;
}

/** A worker that does not answer has no request that can be cancelled. */
const pendingTimeoutMs = 1000;
/** A worker that takes longer is told of as late. */
const revocationTimeoutMs = 2000;

/** Creates it for `of` workers. Their state is `state`; `now` is in milliseconds since 1970. */
export function createCommons(of: number, state: SharedState, now: () => number = Date.now): Commons {
  const keys = createOwnKeys();
  const ledger = createLimitLedger({ of, after });
  const members = new Map<ToMember, number>();
  let revocations: readonly TemporaryRevocation[] = [];

  async function revoke(added: TemporaryRevocation): Promise<RevocationSpread> {
    const next = addTemporary(revocations, added, now());
    if (next === 'full') return next;
    revocations = next;
    const answers = [...members].map(([member, number]) =>
      member.ask('revocations', next, { timeoutMs: revocationTimeoutMs }).then(
        () => [],
        () => [number],
      ),
    );
    return { late: (await Promise.all(answers)).flat() };
  }

  async function isElsewhere(request: PendingRequest, asker: ToMember): Promise<boolean> {
    const others = [...members.keys()].filter((member) => member !== asker);
    const found = others.map(async (member) => {
      const isThere = await member.ask('isPending', request, { timeoutMs: pendingTimeoutMs });
      if (!isThere) throw new Error('it is not there');
    });
    return Promise.any(found).then(
      () => true,
      () => false,
    );
  }

  return {
    rootKey: keys.root,
    answer(channel) {
      channel.answer('assertionKey', keys.assertionKey);
      channel.answer('claim', (claim) => state.claim(...claim));
      channel.answer('consume', ({ holder, key, name, origin, size }) =>
        state.limiter(name, size).consume(key, holder, origin),
      );
      channel.answer('giveBack', async ({ holder, key, name, origin, size }) => {
        await state.limiter(name, size).giveBack(key, holder, origin);
        return undefined;
      });
      channel.answer('secret', (secret) => state.secret(...secret));
      channel.answer('isPending', (request) => isElsewhere(request, channel));
      channel.answer('revoke', revoke);
    },
    join(number, channel) {
      const member = ledger.join(number, (message) => channel.tell('limit', message));
      channel.answer('limit', (message) => void member.receive(message));
      members.set(channel, number);
      // Before its first connection.
      revocations = inForceAt(revocations, now());
      if (revocations.length > 0) channel.tell('revocations', revocations);
      return () => {
        members.delete(channel);
        member.leave();
      };
    },
  };
}

/** Calls later, unless the returned function is called before. Keeps no process alive. */
export function after(ms: number, call: () => void): () => void {
  const timer = setTimeout(call, ms).unref();
  return () => clearTimeout(timer);
}
